//! Request bodies: plain, gzip or zstd, within both limits of the protocol.
//! Never holds more than the limit in memory, whatever a compressed body claims.

use std::io::{self, Read};

use zhenyin_core::wire::PLAIN_LIMIT;

/// Window of a zstd stream at most: 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 23;

#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("content encoding `{0}` is none of `zstd`, `gzip`, `identity`")]
    Encoding(String),
    #[error("body has more than {PLAIN_LIMIT} bytes once decompressed")]
    TooLarge,
    #[error("body cannot be decompressed")]
    Broken(#[source] io::Error),
}

/// Decompresses a body by its `Content-Encoding`.
pub(crate) fn decode(encoding: Option<&str>, body: &[u8]) -> Result<Vec<u8>, BodyError> {
    match encoding.unwrap_or("identity") {
        "identity" => bounded(body),
        "gzip" => bounded(flate2::read::GzDecoder::new(body)),
        "zstd" => {
            let mut decoder = zstd::Decoder::new(body).map_err(BodyError::Broken)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(BodyError::Broken)?;
            bounded(decoder)
        }
        other => Err(BodyError::Encoding(other.to_owned())),
    }
}

fn bounded(source: impl Read) -> Result<Vec<u8>, BodyError> {
    let mut plain = Vec::new();
    source.take(PLAIN_LIMIT as u64 + 1).read_to_end(&mut plain).map_err(BodyError::Broken)?;
    if plain.len() > PLAIN_LIMIT { Err(BodyError::TooLarge) } else { Ok(plain) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn all_encodings_read_back() {
        let text = b"{\"first\":0}";
        for (encoding, body) in [
            (None, text.to_vec()),
            (Some("identity"), text.to_vec()),
            (Some("gzip"), gzip(text)),
            (Some("zstd"), zstd::encode_all(&text[..], 3).unwrap()),
        ] {
            assert_eq!(decode(encoding, &body).unwrap(), text);
        }
        assert!(matches!(decode(Some("br"), text), Err(BodyError::Encoding(_))));
        assert!(matches!(decode(Some("gzip"), text), Err(BodyError::Broken(_))));
        assert!(matches!(decode(Some("zstd"), text), Err(BodyError::Broken(_))));
    }

    #[test]
    fn bombs_stop_at_the_limit() {
        let bomb = vec![0; PLAIN_LIMIT + 1];
        for (encoding, body) in [("gzip", gzip(&bomb)), ("zstd", zstd::encode_all(&bomb[..], 1).unwrap())] {
            assert!(body.len() < PLAIN_LIMIT / 100);
            assert!(matches!(decode(Some(encoding), &body), Err(BodyError::TooLarge)), "{encoding}");
        }
        assert_eq!(decode(Some("gzip"), &gzip(&bomb[1..])).unwrap().len(), PLAIN_LIMIT);
    }
}
