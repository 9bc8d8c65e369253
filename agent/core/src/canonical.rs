//! Writes JSON in the one canonical form of RFC 8785 (JCS), for whole numbers only.
//! Never writes a float, and never depends on the order in which `serde_json` happens to keep members.

use serde::Serialize;
use serde_json::{Map, Number, Value};

/// Whole numbers of this magnitude and above lose digits in readers that use doubles (RFC 7493 §2.2).
pub const NUMBER_LIMIT: u64 = 1 << 53;

#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    #[error("number is not a whole number below 2^53: `{0}`")]
    Number(String),
    #[error("value has no form in JSON")]
    Shape(#[source] serde_json::Error),
}

/// The canonical text of any serialisable value.
///
/// # Errors
/// [`CanonicalError::Number`] for floats and for numbers of 2^53 and above;
/// [`CanonicalError::Shape`] for what JSON cannot hold (a map whose keys are no strings).
pub fn to_string(value: &impl Serialize) -> Result<String, CanonicalError> {
    let tree = serde_json::to_value(value).map_err(CanonicalError::Shape)?;
    let mut out = String::new();
    write_value(&mut out, &tree)?;
    Ok(out)
}

/// An object that is written member by member, with no tree in between. The caller names them in canonical order.
pub(crate) struct Object {
    out: String,
    last: &'static str,
}

impl Object {
    /// With room for so many bytes.
    pub(crate) fn begin(room: usize) -> Self {
        Self { out: String::with_capacity(room), last: "" }
    }

    pub(crate) fn text(mut self, name: &'static str, text: &str) -> Self {
        self.name(name);
        write_text(&mut self.out, text);
        self
    }

    /// # Errors
    /// As [`to_string`].
    pub(crate) fn value(mut self, name: &'static str, value: &Value) -> Result<Self, CanonicalError> {
        self.name(name);
        write_value(&mut self.out, value)?;
        Ok(self)
    }

    pub(crate) fn end(mut self) -> String {
        self.out.push('}');
        self.out
    }

    fn name(&mut self, name: &'static str) {
        debug_assert!(self.last < name && name.is_ascii(), "`{name}` after `{}`", self.last);
        self.last = name;
        self.out.push(if self.out.is_empty() { '{' } else { ',' });
        write_text(&mut self.out, name);
        self.out.push(':');
    }
}

fn write_value(out: &mut String, value: &Value) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(out, number)?,
        Value::String(text) => write_text(out, text),
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_value(out, item)?;
            }
            out.push(']');
        }
        Value::Object(members) => write_members(out, members)?,
    }
    Ok(())
}

fn write_members(out: &mut String, members: &Map<String, Value>) -> Result<(), CanonicalError> {
    // RFC 8785 §3.2.3 sorts by UTF-16 code units, which differs from byte order above U+FFFF.
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push('{');
    for (place, (name, value)) in sorted.into_iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write_text(out, name);
        out.push(':');
        write_value(out, value)?;
    }
    out.push('}');
    Ok(())
}

fn write_number(out: &mut String, number: &Number) -> Result<(), CanonicalError> {
    let text = match (number.as_u64(), number.as_i64()) {
        (Some(n), _) if n < NUMBER_LIMIT => n.to_string(),
        (None, Some(n)) if n.unsigned_abs() < NUMBER_LIMIT => n.to_string(),
        _ => return Err(CanonicalError::Number(number.to_string())),
    };
    out.push_str(&text);
    Ok(())
}

fn write_text(out: &mut String, text: &str) {
    use std::fmt::Write as _;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(value: &Value, want: &str) {
        assert_eq!(to_string(value).unwrap(), want);
    }

    #[test]
    fn members_are_sorted_by_utf16_code_units() {
        // The example of RFC 8785 §3.2.3.
        let value =
            json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
        check(
            &value,
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}",
        );
    }

    #[test]
    fn only_what_must_be_escaped_is_escaped() {
        check(
            &json!("\u{20ac}$\u{f}\u{a}A'\u{42}\u{22}\u{5c}\\\"/\u{7f}"),
            "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\u{7f}\"",
        );
        check(&json!(["\u{8}\t\u{c}\r\u{0}\u{1f}"]), r#"["\b\t\f\r\u0000\u001f"]"#);
    }

    #[test]
    fn whole_numbers_below_the_limit_only() {
        check(&json!([0, -1, 9_007_199_254_740_991_u64]), "[0,-1,9007199254740991]");
        for value in
            [json!(1.0), json!(1e3), json!(NUMBER_LIMIT), json!(-(NUMBER_LIMIT as i64)), json!(u64::MAX)]
        {
            assert!(matches!(to_string(&value), Err(CanonicalError::Number(_))), "{value}");
        }
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::vec((".*", inner), 0..8)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_back_as_the_same_value_and_is_stable(value in tree()) {
            let text = to_string(&value).unwrap();
            let back: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&back, &value);
            prop_assert_eq!(to_string(&back).unwrap(), text);
        }
    }
}
