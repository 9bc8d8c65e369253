//! The key server of synthetic cards: answers the question of a locked card, once for each context.
//! Never has a real key: its cipher is a toy, and without a configured key it refuses every card.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use zhenyin_core::card_authentication::{CardAnswer, CardQuestion, CardQuestionError, CardRefusal};
use zhenyin_core::ids::ChainId;
use zhenyin_core::signer::Signer as _;

use crate::http::Shared;
use crate::keys::to_hex;
use crate::store::StoreError;

/// The cipher of synthetic cards and PSAMs: no secret, no strength, only a difference.
pub fn toy_cipher(key: u8, factor: [u8; 8], source: [u8; 8]) -> [u8; 8] {
    std::array::from_fn(|at| (factor[at] ^ source[7 - at]).rotate_left(3).wrapping_add(key))
}

/// The key, and the contexts that had their answer.
pub(crate) struct CardKeys {
    key: Option<u8>,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    known: HashSet<String>,
    order: VecDeque<String>,
    answered: u64,
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("chain is unknown")]
    Chain,
    #[error(transparent)]
    Question(#[from] CardQuestionError),
    #[error("context has had its answer")]
    Used,
    #[error("question is not in the national form")]
    Form,
    #[error("there is no key for this card")]
    NoKey,
    #[error("grant of the chain cannot be read")]
    Grant,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CardKeys {
    pub(crate) fn new(key: Option<u8>) -> Self {
        Self { key, used: Mutex::default() }
    }

    /// Questions that were answered with what opens a card.
    pub(crate) fn answered(&self) -> u64 {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).answered
    }

    fn answer(&self, question: CardQuestion) -> Result<CardAnswer, Refused> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if !used.known.insert(question.context.clone()) {
            return Err(Refused::Used);
        }
        used.order.push_back(question.context.clone());
        if used.order.len() > REMEMBERED
            && let Some(oldest) = used.order.pop_front()
        {
            used.known.remove(&oldest);
        }
        let fields: Vec<&str> = question.card.split('|').collect();
        let [_, _, _, _, internal_factor, internal_source, external_factor, external_source, ""] =
            fields.as_slice()
        else {
            return Err(Refused::Form);
        };
        let key = self.key.ok_or(Refused::NoKey)?;
        let cipher = |factor: &str, source: &str| -> Option<[u8; 8]> {
            Some(toy_cipher(key, eight(factor)?, eight(source)?))
        };
        let internal = cipher(internal_factor, internal_source).ok_or(Refused::Form)?;
        let result = cipher(external_factor, external_source).ok_or(Refused::Form)?;
        used.answered += 1;
        Ok(CardAnswer {
            context: question.context,
            internal: to_hex(&internal),
            external: to_hex(&result) + external_factor,
        })
    }
}

/// `POST /v1/chains/<chain>/card-authentications`.
pub(crate) async fn answer(
    State(shared): State<Arc<Shared>>,
    Path(chain): Path<String>,
    token: String,
) -> Response {
    let answered = tokio::task::spawn_blocking(move || take(&shared, &chain, &token)).await;
    match answered {
        Ok(Ok(answer)) => Json(answer).into_response(),
        Ok(Err(refused)) => refused.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn take(shared: &Shared, chain: &str, token: &str) -> Result<CardAnswer, Refused> {
    let chain = ChainId(chain.parse().map_err(|_| Refused::Chain)?);
    let row = shared.store.chain(chain)?.ok_or(Refused::Chain)?;
    let (_, keys) = row.open(shared.keys.authority.public_key()).map_err(|_| Refused::Grant)?;
    shared.cards.answer(CardQuestion::open(token, chain, keys.newest())?)
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NoKey => {
                let refusal = CardRefusal { code: NO_KEY };
                return (StatusCode::UNPROCESSABLE_ENTITY, Json(refusal)).into_response();
            }
            Self::Chain => StatusCode::NOT_FOUND,
            Self::Question(_) => StatusCode::FORBIDDEN,
            Self::Used => StatusCode::CONFLICT,
            Self::Form => StatusCode::BAD_REQUEST,
            Self::Grant => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

/// Contexts are remembered for this many questions: cards forget their challenge with the next command.
const REMEMBERED: usize = 100_000;
/// The national interface's number for a key server that lacks the key.
const NO_KEY: i32 = -2203;

fn eight(text: &str) -> Option<[u8; 8]> {
    let bytes: Option<Vec<u8>> = text
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(context: &str) -> CardQuestion {
        let card = "110105|00|03|11|0102030405060708|1112131415161718|2122232425262728|3132333435363738|";
        CardQuestion { chain: ChainId(uuid::Uuid::from_u128(7)), context: context.into(), card: card.into() }
    }

    #[test]
    fn a_context_has_one_answer() {
        let keys = CardKeys::new(Some(0x5A));
        let answer = keys.answer(question("a")).unwrap();
        assert_eq!((answer.internal.len(), &answer.external[16..]), (16, "2122232425262728"));
        assert!(matches!(keys.answer(question("a")), Err(Refused::Used)));
        assert!(keys.answer(question("b")).is_ok());
        assert_eq!(keys.answered(), 2);
        assert!(matches!(CardKeys::new(None).answer(question("a")), Err(Refused::NoKey)));
        let bad = CardQuestion { card: "110105|00|".into(), ..question("c") };
        assert!(matches!(keys.answer(bad), Err(Refused::Form)));
    }
}
