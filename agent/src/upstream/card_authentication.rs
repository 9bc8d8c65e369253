//! The wire to the key server behind the upstream: one question of a card out, its answer back.
//! Never asks a question twice: whoever waits for it has a card under power, and its challenge is good once.

use std::time::Duration;

use firmware_bridge::authenticator::{RemoteAnswer, RemoteQuestion, RemoteRefusal};
use reqwest::StatusCode;
use zhenyin_core::card_authentication::{CardAnswer, CardQuestion, CardRefusal};
use zhenyin_core::ids::ChainId;
use zhenyin_core::signer::Signer;

use super::{Upstream, bounded};

impl Upstream {
    /// Both steps of the national interface. An answer that is not of the protocol counts as none.
    ///
    /// # Errors
    /// The refusal of the server, or that there was no answer within `patience`.
    pub async fn authenticate_card(
        &self,
        chain: ChainId,
        signer: &(dyn Signer + Sync),
        question: &RemoteQuestion,
        patience: Duration,
    ) -> Result<RemoteAnswer, RemoteRefusal> {
        let asked = CardQuestion { chain, context: hex(&question.context), card: question.to_national() };
        let token = asked.seal(signer).map_err(|_| RemoteRefusal::Unreachable)?;
        let sent = self
            .client
            .post(format!("{}/v1/chains/{chain}/card-authentications", self.url))
            .timeout(patience)
            .body(token)
            .send()
            .await;
        let response = sent.map_err(|_| RemoteRefusal::Unreachable)?;
        let status = response.status();
        let body = bounded(response).await.map_err(|_| RemoteRefusal::Unreachable)?;
        let told = match status {
            StatusCode::OK => {
                serde_json::from_slice::<CardAnswer>(&body).ok().and_then(|a| answer(&a)).map(Ok)
            }
            StatusCode::UNPROCESSABLE_ENTITY => serde_json::from_slice::<CardRefusal>(&body)
                .ok()
                .map(|CardRefusal { code }| Err(RemoteRefusal::Code(code))),
            _ => None,
        };
        told.unwrap_or(Err(RemoteRefusal::Unreachable))
    }
}

fn answer(told: &CardAnswer) -> Option<RemoteAnswer> {
    Some(RemoteAnswer {
        context: bytes(&told.context)?.try_into().ok()?,
        internal_result: bytes(&told.internal)?,
        external: bytes(&told.external)?.try_into().ok()?,
    })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|value| u8::try_from(value).ok());
    text.as_bytes()
        .chunks(2)
        .map(|pair| if let [high, low] = pair { Some(digit(*high)? << 4 | digit(*low)?) } else { None })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_another_form_are_none() {
        let told = |context: &str, external: &str| CardAnswer {
            context: context.into(),
            internal: "0102".into(),
            external: external.into(),
        };
        let (context, external) = ("0A".repeat(16), "ff".repeat(16));
        let good = answer(&told(&context, &external)).unwrap();
        assert_eq!((good.context, good.internal_result, good.external), ([10; 16], vec![1, 2], [255; 16]));
        for bad in
            [told("0A", &external), told(&context, "ff"), told(&context, &"fg".repeat(16)), told("0", "")]
        {
            assert!(answer(&bad).is_none());
        }
        assert_eq!(hex(&[0, 0xAB]), "00AB");
    }
}
