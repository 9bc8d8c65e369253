//! The two-step way of the national interface: what the key server must know goes out, its answer comes back, and
//! the card is powered all the while. Never talks to a network: the agent brings the function that does, and it
//! runs on a thread of its own, so that a server that says nothing holds up nobody past the deadline.

use std::fmt::{self, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use super::{AskedCard, AuthenticationError, Authenticator, CardFacts, ExternalAnswer};

/// First step: what the key server needs. Personal as a card is; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteQuestion {
    /// Names this question; an answer with another context is refused.
    pub context: [u8; 16],
    pub facts: CardFacts,
    pub internal_factor: [u8; 8],
    pub internal_source: [u8; 8],
    pub external_factor: [u8; 8],
    /// The card's challenge.
    pub external_source: [u8; 8],
}

/// Second step: what the key server found.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteAnswer {
    /// Repeated from the question.
    pub context: [u8; 16],
    /// What a genuine card answers to the internal factor and source.
    pub internal_result: Vec<u8>,
    /// Result and factor for the card, the 32 hexadecimal digits of the national interface.
    pub external: [u8; 16],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteRefusal {
    Unreachable,
    /// The server said no, with the code of the national interface.
    Code(i32),
}

/// Fills its argument with bytes that nobody can foresee.
type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// Asks a key server.
pub struct RemoteAuthenticator {
    questions: SyncSender<RemoteQuestion>,
    answers: Receiver<([u8; 16], Result<RemoteAnswer, RemoteRefusal>)>,
    random: Random,
    patience: Duration,
}

impl RemoteAuthenticator {
    /// `ask` carries one question to the server and is told how long anybody waits for it; `random` fills its
    /// argument with bytes that nobody can foresee.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(
        mut ask: impl FnMut(&RemoteQuestion, Duration) -> Result<RemoteAnswer, RemoteRefusal> + Send + 'static,
        random: impl FnMut(&mut [u8]) + Send + 'static,
        patience: Duration,
    ) -> std::io::Result<Self> {
        let (questions, inbox) = sync_channel::<RemoteQuestion>(1);
        let (outbox, answers) = channel();
        // Ends by itself when the questions do; a server that never answers keeps nobody but this thread.
        std::thread::Builder::new().name("key-server".to_owned()).spawn(move || {
            for question in inbox {
                let answer = ask(&question, patience);
                if outbox.send((question.context, answer)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { questions, answers, random: Box::new(random), patience })
    }

    fn fresh<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }

    fn ask(&mut self, question: RemoteQuestion) -> Result<RemoteAnswer, AuthenticationError> {
        let context = question.context;
        let begun = Instant::now();
        let late = || AuthenticationError::Late { waited: begun.elapsed() };
        // Full only while the server still owes an answer to an earlier card.
        self.questions.try_send(question).map_err(|_| late())?;
        loop {
            let left = self.patience.saturating_sub(begun.elapsed());
            match self.answers.recv_timeout(left) {
                Ok((asked, _)) if asked != context => {}
                Ok((_, Ok(answer))) if answer.context == context => return Ok(answer),
                Ok((_, Ok(_))) => return Err(AuthenticationError::WrongChallenge),
                Ok((_, Err(RemoteRefusal::Code(code)))) => return Err(AuthenticationError::Remote { code }),
                Ok((_, Err(RemoteRefusal::Unreachable))) => return Err(AuthenticationError::Unreachable),
                Err(RecvTimeoutError::Timeout) => return Err(late()),
                Err(RecvTimeoutError::Disconnected) => return Err(AuthenticationError::Unreachable),
            }
        }
    }
}

impl Authenticator for RemoteAuthenticator {
    fn answer(&mut self, card: &mut AskedCard<'_>) -> Result<ExternalAnswer, AuthenticationError> {
        let (internal_factor, internal_source) = (self.fresh(), self.fresh());
        // Before the challenge: many cards hold one only until the next command.
        let proof = card.internal_proof(internal_factor, internal_source)?;
        let challenge = card.challenge()?;
        let question = RemoteQuestion {
            context: self.fresh(),
            facts: card.facts().clone(),
            internal_factor,
            internal_source,
            external_factor: self.fresh(),
            external_source: *challenge.expose(),
        };
        let answer = self.ask(question)?;
        if answer.internal_result.is_empty() || answer.internal_result != proof {
            return Err(AuthenticationError::NotGenuine);
        }
        Ok(challenge.answered(answer.external))
    }
}

impl RemoteQuestion {
    /// The fields of `iReadCardBas_HSM_Step1`, each followed by a bar: region, historical bytes, algorithm,
    /// 卡识别码, then factor and source of the internal and of the external authentication.
    pub fn to_national(&self) -> String {
        let CardFacts { code, algorithm, historical } = &self.facts;
        let parts: [&[u8]; 6] = [
            historical,
            code.expose(),
            &self.internal_factor,
            &self.internal_source,
            &self.external_factor,
            &self.external_source,
        ];
        let [historical, code_hex, rest @ ..] = parts.map(hex);
        let mut text = format!("{}|{historical}|{:02X}|{code_hex}|", code.region(), algorithm.code());
        for part in rest {
            let _ = write!(text, "{part}|");
        }
        text
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

impl fmt::Debug for RemoteQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemoteQuestion(…)")
    }
}

impl fmt::Debug for RemoteAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemoteAnswer(…)")
    }
}
