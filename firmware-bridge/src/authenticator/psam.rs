//! A PSAM in a second slot, driven by a configured script: the command sets of PSAMs differ, their makers know them.
//! Never sends a PSAM anything that asks for a PIN or writes, and keeps nothing it answered.
//!
//! One command a line, `psam` and hexadecimal bytes; `{historical}`, `{region}`, `{code}`, `{algorithm}` and
//! `{challenge}` are filled in, `{historical:2+8}` means eight bytes from the third on. The last line,
//! `answer {result} {challenge}` or the like, says what the card is given: sixteen bytes, where `{result}` is what the
//! PSAM answered last. `#` begins a remark.

use crate::apdu::{self, ApduError, CommandApdu, StatusWord, forbidden};
use crate::card_slot::CardSlot;
use crate::slot::SlotError;

use super::{AskedCard, AuthenticationError, Authenticator, ExternalAnswer};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PsamScriptError {
    #[error("line {line} begins neither with `psam` nor with `answer`")]
    Verb { line: usize },
    #[error("line {line} has a part that is neither a byte nor a field: `{part}`")]
    Part { line: usize, part: String },
    #[error("line {line} is a {name}, which no script may send")]
    Forbidden { line: usize, name: &'static str },
    #[error("line {line} is shorter than a command")]
    Short { line: usize },
    #[error("script does not end with one `answer` line")]
    NoAnswer,
}

/// Commands for a PSAM and what becomes of its last answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PsamScript {
    commands: Vec<(usize, Vec<Part>)>,
    answer: (usize, Vec<Part>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Byte(u8),
    Field { field: Field, from: usize, length: Option<usize> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Historical,
    Region,
    Code,
    Algorithm,
    Challenge,
    Result,
}

impl PsamScript {
    /// # Errors
    /// Names the first line that cannot be meant.
    pub fn parse(text: &str) -> Result<Self, PsamScriptError> {
        let mut commands = Vec::new();
        let mut answer = None;
        for (index, written) in text.lines().enumerate() {
            let line = index + 1;
            let said = written.split('#').next().unwrap_or_default().trim();
            if said.is_empty() {
                continue;
            }
            let (verb, rest) = said.split_once(' ').unwrap_or((said, ""));
            let parts = rest
                .split_whitespace()
                .map(|part| {
                    Part::parse(part).ok_or_else(|| PsamScriptError::Part { line, part: part.to_owned() })
                })
                .collect::<Result<Vec<_>, _>>()?;
            match verb {
                _ if answer.is_some() => return Err(PsamScriptError::NoAnswer),
                "psam" => commands.push((line, command(line, parts)?)),
                "answer" => answer = Some((line, parts)),
                _ => return Err(PsamScriptError::Verb { line }),
            }
        }
        Ok(Self { commands, answer: answer.ok_or(PsamScriptError::NoAnswer)? })
    }
}

/// The first four bytes stand as they are sent, so that what a line does can be judged before there is a card.
fn command(line: usize, parts: Vec<Part>) -> Result<Vec<Part>, PsamScriptError> {
    let [Part::Byte(_), Part::Byte(instruction), Part::Byte(_), Part::Byte(_), ..] = parts.as_slice() else {
        return Err(PsamScriptError::Short { line });
    };
    // A PSAM proves itself with INTERNAL AUTHENTICATE or with commands of its maker's.
    match forbidden(*instruction).filter(|_| *instruction != 0x88) {
        Some(name) => Err(PsamScriptError::Forbidden { line, name }),
        None => Ok(parts),
    }
}

impl Part {
    fn parse(text: &str) -> Option<Self> {
        let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            let two_digits = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
            return two_digits.then(|| u8::from_str_radix(text, 16).ok()).flatten().map(Self::Byte);
        };
        let (name, span) = inner.split_once(':').map_or((inner, None), |(name, span)| (name, Some(span)));
        let field = match name {
            "historical" => Field::Historical,
            "region" => Field::Region,
            "code" => Field::Code,
            "algorithm" => Field::Algorithm,
            "challenge" => Field::Challenge,
            "result" => Field::Result,
            _ => return None,
        };
        let Some(span) = span else { return Some(Self::Field { field, from: 0, length: None }) };
        let (from, length) = span.split_once('+')?;
        Some(Self::Field { field, from: from.parse().ok()?, length: Some(length.parse().ok()?) })
    }
}

/// Answers with a PSAM that sits in a slot of its own.
pub struct PsamAuthenticator {
    script: PsamScript,
    psam: Box<dyn CardSlot>,
}

impl PsamAuthenticator {
    pub fn new(script: PsamScript, psam: Box<dyn CardSlot>) -> Self {
        Self { script, psam }
    }

    fn play(&mut self, fields: &Fields<'_>) -> Result<Vec<u8>, AuthenticationError> {
        let mut result = Vec::new();
        for (line, parts) in &self.script.commands {
            let line = *line;
            let bytes = fields.fill(parts, &result).ok_or(AuthenticationError::PsamScript { line })?;
            let command = CommandApdu::from_bytes(&bytes).ok_or(AuthenticationError::PsamScript { line })?;
            let response = apdu::exchange(self.psam.as_mut(), &command).map_err(failed)?;
            result = match response.status {
                StatusWord::OK => response.data,
                StatusWord::KEY_NOT_FOUND | StatusWord::RECORD_NOT_FOUND => {
                    return Err(AuthenticationError::PsamKey);
                }
                StatusWord::NOT_SUPPORTED => return Err(AuthenticationError::PsamAlgorithm),
                status => return Err(AuthenticationError::PsamRefused { line, status }),
            };
        }
        let (line, parts) = &self.script.answer;
        fields.fill(parts, &result).ok_or(AuthenticationError::PsamScript { line: *line })
    }
}

impl Authenticator for PsamAuthenticator {
    fn answer(&mut self, card: &mut AskedCard<'_>) -> Result<ExternalAnswer, AuthenticationError> {
        self.psam.set_limit(Some(self.psam.now() + LIMIT));
        self.psam.power_on().map_err(|error| {
            let empty = matches!(error, SlotError::NoCard | SlotError::Mute);
            if empty { AuthenticationError::NoPsam } else { failed(error.into()) }
        })?;
        let challenge = card.challenge()?;
        let facts = card.facts();
        let algorithm = [facts.algorithm.code()];
        let fields = Fields {
            historical: &facts.historical,
            code: facts.code.expose(),
            algorithm: &algorithm,
            challenge: challenge.expose(),
        };
        let played = self.play(&fields);
        // Whatever came of it: the PSAM needs no power until the next card.
        let _ = self.psam.power_off();
        let line = self.script.answer.0;
        let bytes = played?.try_into().map_err(|_| AuthenticationError::PsamScript { line })?;
        Ok(challenge.answered(bytes))
    }
}

fn failed(source: ApduError) -> AuthenticationError {
    AuthenticationError::PsamFailed { source }
}

const LIMIT: std::time::Duration = std::time::Duration::from_secs(15);

struct Fields<'a> {
    historical: &'a [u8],
    code: &'a [u8; 16],
    algorithm: &'a [u8],
    challenge: &'a [u8],
}

impl Fields<'_> {
    /// `None` when a field is shorter than the script wants it.
    fn fill(&self, parts: &[Part], result: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for part in parts {
            match part {
                Part::Byte(byte) => bytes.push(*byte),
                Part::Field { field, from, length } => {
                    let whole = match field {
                        Field::Historical => self.historical,
                        Field::Region => self.code.get(..3)?,
                        Field::Code => self.code,
                        Field::Algorithm => self.algorithm,
                        Field::Challenge => self.challenge,
                        Field::Result => result,
                    };
                    let end = length.map_or(Some(whole.len()), |length| from.checked_add(length))?;
                    bytes.extend(whole.get(*from..end)?);
                }
            }
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_read_or_refused_by_line() {
        let good = "# select\npsam 00 A4 00 00 02 DF 01\n\npsam 80 FA 00 00 08 {challenge} # proof\nanswer {result:0+8} {challenge}";
        assert!(PsamScript::parse(good).is_ok());
        let check =
            |text: &str, want: PsamScriptError| assert_eq!(PsamScript::parse(text), Err(want), "{text}");
        check("", PsamScriptError::NoAnswer);
        check("psam 00 A4 00 00", PsamScriptError::NoAnswer);
        check("answer {result}\npsam 00 A4 00 00", PsamScriptError::NoAnswer);
        check("card 00 A4 00 00", PsamScriptError::Verb { line: 1 });
        check("psam 00 A4 0", PsamScriptError::Part { line: 1, part: "0".to_owned() });
        check("psam 00 A4 00 +1", PsamScriptError::Part { line: 1, part: "+1".to_owned() });
        check("\npsam 00 A4 00 00 {pin}", PsamScriptError::Part { line: 2, part: "{pin}".to_owned() });
        check("psam 00 {region}", PsamScriptError::Short { line: 1 });
        for (instruction, name) in
            [("20", "VERIFY"), ("82", "EXTERNAL AUTHENTICATE"), ("DC", "UPDATE RECORD")]
        {
            let text = format!("psam 00 {instruction} 00 00\nanswer {{result}}");
            check(&text, PsamScriptError::Forbidden { line: 1, name });
        }
    }

    #[test]
    fn fields_are_filled_in() {
        let code = [0x11; 16];
        let fields = Fields { historical: &[1, 2, 3], code: &code, algorithm: &[3], challenge: &[9; 8] };
        let check = |text: &str, want: Option<Vec<u8>>| {
            let script = PsamScript::parse(&format!("answer {text}")).unwrap();
            assert_eq!(fields.fill(&script.answer.1, &[7, 8]), want, "{text}");
        };
        check("00 {region} {algorithm}", Some(vec![0, 0x11, 0x11, 0x11, 3]));
        check("{historical:1+2} {result}", Some(vec![2, 3, 7, 8]));
        check("{historical:1+3}", None);
        check("{historical:18446744073709551615+2}", None);
    }
}
