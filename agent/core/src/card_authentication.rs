//! What travels to the key server for a card that keeps its holder data locked, and back: the two steps of the
//! national interface. Never printed; signed by the terminal, so that a key server answers nobody else.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::ChainId;
use crate::jws::{self, Form, JwsError};
use crate::signer::{PublicKey, Signer, SignerError};

const FORM: Form = Form { typ: "card-authentication+jws", cty: "application/json" };

/// First step; `POST /v1/chains/<chain>/card-authentications` has it as a JWS under the terminal's key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardQuestion {
    pub chain: ChainId,
    /// 32 hexadecimal digits that name this question; good for one answer, ever.
    pub context: String,
    /// The fields of `iReadCardBas_HSM_Step1`, each followed by a bar.
    pub card: String,
}

/// Second step; body of a `200`. Hexadecimal.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardAnswer {
    /// Repeated from the question.
    pub context: String,
    /// What a genuine card answers to the internal factor and source.
    pub internal: String,
    /// Result and factor for the card, 32 digits.
    pub external: String,
}

/// Body of a `422`: why there is no answer, in the numbers of the national interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardRefusal {
    pub code: i32,
}

#[derive(Debug, thiserror::Error)]
pub enum CardQuestionError {
    #[error("question is not signed by the terminal")]
    Token(#[source] JwsError),
    #[error("question is not of the known form")]
    Form(#[source] serde_json::Error),
    #[error("question is of another chain")]
    Chain,
}

impl CardQuestion {
    /// # Errors
    /// Whatever the signer says.
    pub fn seal(&self, signer: &dyn Signer) -> Result<String, SignerError> {
        let Self { chain, context, card } = self;
        let payload = serde_json::json!({ "chain": chain, "context": context, "card": card });
        jws::seal(FORM, &payload.to_string(), signer)
    }

    /// Takes a question of the terminal that holds `key` and writes `chain`.
    ///
    /// # Errors
    /// [`CardQuestionError`] for a question of anybody else.
    pub fn open(token: &str, chain: ChainId, key: PublicKey) -> Result<Self, CardQuestionError> {
        let opened = jws::open(token, FORM, &[key]).map_err(CardQuestionError::Token)?;
        let question: Self = serde_json::from_slice(&opened.payload).map_err(CardQuestionError::Form)?;
        if question.chain == chain { Ok(question) } else { Err(CardQuestionError::Chain) }
    }
}

impl fmt::Debug for CardQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardQuestion(…)")
    }
}

impl fmt::Debug for CardAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardAnswer(…)")
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::signer::{Seed, SoftwareSigner};

    #[test]
    fn only_the_terminals_own_question_is_taken() {
        let signer = |byte: u8| SoftwareSigner::from_seed(&Seed::take(&mut [byte; 32]));
        let chain = ChainId(Uuid::from_u128(7));
        let question = CardQuestion { chain, context: "00".repeat(16), card: "110105|…|".into() };
        let token = question.seal(&signer(1)).unwrap();
        let key = signer(1).public_key();
        assert_eq!(CardQuestion::open(&token, chain, key).unwrap(), question);
        let other_chain = ChainId(Uuid::from_u128(8));
        assert!(matches!(CardQuestion::open(&token, other_chain, key), Err(CardQuestionError::Chain)));
        let stranger = signer(2).public_key();
        assert!(matches!(CardQuestion::open(&token, chain, stranger), Err(CardQuestionError::Token(_))));
        assert_eq!(format!("{question:?}"), "CardQuestion(…)");
    }
}
