//! A synthetic card in the virtual reader of vsmartcard's `vpcd`, a driver of pcscd: the card's side of its line.
//! Never outlives its handle: dropping it takes the card out.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread::JoinHandle;

use super::cards::{CardSpec, SimulatedCard};

/// Where vpcd listens unless it was told otherwise.
pub const PORT: u16 = 35_963;

/// A card put into the virtual reader.
pub struct VpcdCard {
    line: TcpStream,
    thread: Option<JoinHandle<()>>,
}

impl VpcdCard {
    /// Puts a card in.
    ///
    /// # Errors
    /// When no vpcd listens.
    pub fn insert(spec: CardSpec, port: u16) -> anyhow::Result<Self> {
        let line = TcpStream::connect(("127.0.0.1", port))?;
        let own = line.try_clone()?;
        let thread = std::thread::Builder::new().name("vpcd card".into()).spawn(move || {
            // Ends with the line, whichever side closes it.
            let _closed = serve(own, SimulatedCard::new(spec));
        })?;
        Ok(Self { line, thread: Some(thread) })
    }
}

impl Drop for VpcdCard {
    fn drop(&mut self) {
        let _gone = self.line.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Two bytes of length, then either one byte of control or a command.
fn serve(mut line: TcpStream, mut card: SimulatedCard) -> std::io::Result<()> {
    loop {
        let mut length = [0; 2];
        line.read_exact(&mut length)?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        line.read_exact(&mut message)?;
        let answer = match message.as_slice() {
            [POWER_OFF] => continue,
            [POWER_ON | RESET] => {
                card.reset();
                continue;
            }
            [ANSWER_TO_RESET] => card.spec().atr.clone(),
            command => card.exchange(command),
        };
        let length = u16::try_from(answer.len()).unwrap_or(u16::MAX);
        line.write_all(&[&length.to_be_bytes(), answer.as_slice()].concat())?;
    }
}

const POWER_OFF: u8 = 0;
const POWER_ON: u8 = 1;
const RESET: u8 = 2;
const ANSWER_TO_RESET: u8 = 4;
