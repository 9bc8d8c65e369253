//! Fetches public networks from their publishers' addresses, pinned by size and SHA-256, and resumes where it stopped.
//! Never keeps a file that is not exactly the pinned one, never runs by itself: only `zhenyin models get` starts it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Client, Response, StatusCode, header};
use ring::digest::{Context, SHA256};

/// One network a publisher offers.
#[derive(Clone, Debug)]
pub struct Offer {
    pub name: &'static str,
    /// File name at the publisher's and in an import recipe's folder.
    pub file: &'static str,
    /// Where it is, best first. The hash decides, not the address.
    pub urls: &'static [&'static str],
    pub sha256: &'static str,
    pub bytes: u64,
    pub licence: &'static str,
    /// Import recipe that can load it.
    pub recipe: &'static str,
}

/// Hashes and sizes are those of the git-LFS pointers in opencv/opencv_zoo at commit 966be4cb6eef.
pub const OFFERS: &[Offer] = &[
    Offer {
        name: "yunet",
        file: "face_detection_yunet_2023mar.onnx",
        urls: &[
            "https://media.githubusercontent.com/media/opencv/opencv_zoo/966be4cb6eefc2a4f586ed0581bf4bbaa2533070/models/face_detection_yunet/face_detection_yunet_2023mar.onnx",
            "https://github.com/opencv/opencv_zoo/raw/966be4cb6eefc2a4f586ed0581bf4bbaa2533070/models/face_detection_yunet/face_detection_yunet_2023mar.onnx",
        ],
        sha256: "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        bytes: 232_589,
        licence: "MIT",
        recipe: "yunet-s-640",
    },
    Offer {
        name: "sface",
        file: "face_recognition_sface_2021dec.onnx",
        urls: &[
            "https://media.githubusercontent.com/media/opencv/opencv_zoo/966be4cb6eefc2a4f586ed0581bf4bbaa2533070/models/face_recognition_sface/face_recognition_sface_2021dec.onnx",
            "https://github.com/opencv/opencv_zoo/raw/966be4cb6eefc2a4f586ed0581bf4bbaa2533070/models/face_recognition_sface/face_recognition_sface_2021dec.onnx",
        ],
        sha256: "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
        bytes: 38_696_353,
        licence: "Apache-2.0",
        recipe: "sface",
    },
];

#[derive(Debug, thiserror::Error)]
pub enum GetError {
    #[error("no public network `{name}`; there are: {known}")]
    Unknown { name: String, known: String },
    #[error(
        "cannot reach `{url}`: on a machine with a network fetch that address, bring the file on a stick and give its folder to `zhenyin models import`"
    )]
    Unreachable { url: String, source: reqwest::Error },
    #[error("`{url}` answers with status {status}")]
    Status { url: String, status: u16 },
    #[error("the line broke after {got} of {expected} bytes: run the command again, it goes on from there")]
    Broken { got: u64, expected: u64, source: reqwest::Error },
    #[error("`{url}` ended after {got} of {expected} bytes: run the command again, it goes on from there")]
    Short { url: String, got: u64, expected: u64 },
    #[error("`{url}` sends more than the pinned {expected} bytes: not the pinned file, nothing is kept")]
    TooLong { url: String, expected: u64 },
    #[error("`{url}` gave SHA-256 {got}, pinned is {expected}: not the pinned file, nothing is kept")]
    Hash { url: String, got: String, expected: String },
    #[error("cannot write `{}`", file.display())]
    Write { file: PathBuf, source: io::Error },
    #[error("http client cannot be set up")]
    Client(#[source] reqwest::Error),
    #[error("the publisher's list of addresses is empty")]
    NoAddress,
}

/// The offer of that name.
///
/// # Errors
/// [`GetError::Unknown`] names those that exist.
pub fn offer(name: &str) -> Result<&'static Offer, GetError> {
    OFFERS.iter().find(|offer| offer.name == name).ok_or_else(|| {
        let known = OFFERS.iter().map(|offer| format!("`{}`", offer.name)).collect::<Vec<_>>().join(", ");
        GetError::Unknown { name: name.to_owned(), known }
    })
}

/// What to fetch and from where, so that a test can point at its own server.
#[derive(Clone, Debug)]
pub struct Pinned<'a> {
    pub file: &'a str,
    pub urls: Vec<String>,
    pub sha256: &'a str,
    pub bytes: u64,
}

impl<'a> From<&'a Offer> for Pinned<'a> {
    fn from(offer: &'a Offer) -> Self {
        let urls = offer.urls.iter().map(|url| (*url).to_owned()).collect();
        Self { file: offer.file, urls, sha256: offer.sha256, bytes: offer.bytes }
    }
}

/// Brings the pinned file into `folder` and says where it is. `progress` gets the bytes so far. A file that is there
/// already and right is not fetched again. Addresses are tried in order; the last one's error is given.
///
/// # Errors
/// [`GetError`] says what to do; an interrupted download is kept as `….part` and resumed by the next call.
pub async fn get(
    pinned: &Pinned<'_>,
    folder: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<PathBuf, GetError> {
    fs::create_dir_all(folder).map_err(writing(folder))?;
    let target = folder.join(pinned.file);
    if sha256_of(&target).is_ok_and(|found| found == pinned.sha256) {
        return Ok(target);
    }
    let mut outcome = Err(GetError::NoAddress);
    for url in &pinned.urls {
        outcome = fetch(pinned, url, &target, progress).await;
        if outcome.is_ok() {
            break;
        }
    }
    outcome.map(|()| target)
}

async fn fetch(
    pinned: &Pinned<'_>,
    url: &str,
    target: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(), GetError> {
    let part = target.with_file_name(format!("{}.part", pinned.file));
    let held = fs::metadata(&part).map_or(0, |meta| meta.len());
    if held < pinned.bytes {
        let response = ask(url, held).await?;
        receive(pinned, url, &part, held, response, progress).await?;
    }
    let got = sha256_of(&part).map_err(writing(&part))?;
    if got != pinned.sha256 {
        fs::remove_file(&part).map_err(writing(&part))?;
        return Err(GetError::Hash { url: url.to_owned(), got, expected: pinned.sha256.to_owned() });
    }
    fs::rename(&part, target).map_err(writing(target))
}

async fn ask(url: &str, held: u64) -> Result<Response, GetError> {
    let client = client(url)?;
    let mut request = client.get(url);
    if held > 0 {
        request = request.header(header::RANGE, format!("bytes={held}-"));
    }
    let unreachable = |source| GetError::Unreachable { url: url.to_owned(), source };
    let response = request.send().await.map_err(unreachable)?;
    match response.status() {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
        status => Err(GetError::Status { url: url.to_owned(), status: status.as_u16() }),
    }
}

async fn receive(
    pinned: &Pinned<'_>,
    url: &str,
    part: &Path,
    held: u64,
    mut response: Response,
    progress: &mut dyn FnMut(u64),
) -> Result<(), GetError> {
    let resumed = held > 0 && continues(&response, held);
    let mut got = if resumed { held } else { 0 };
    let file = OpenOptions::new().create(true).write(true).truncate(!resumed).append(resumed).open(part);
    let mut file = file.map_err(writing(part))?;
    let expected = pinned.bytes;
    loop {
        let chunk = response.chunk().await;
        let Some(chunk) = chunk.map_err(|source| GetError::Broken { got, expected, source })? else { break };
        got += chunk.len() as u64;
        if got > expected {
            drop(file);
            fs::remove_file(part).map_err(writing(part))?;
            return Err(GetError::TooLong { url: url.to_owned(), expected });
        }
        file.write_all(&chunk).map_err(writing(part))?;
        progress(got);
    }
    file.sync_all().map_err(writing(part))?;
    if got < expected {
        return Err(GetError::Short { url: url.to_owned(), got, expected });
    }
    Ok(())
}

/// Whether the answer goes on exactly where we stopped; anything else is taken from the start.
fn continues(response: &Response, held: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    response.status() == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|range| range.starts_with(&format!("bytes {held}-")))
}

fn client(url: &str) -> Result<Client, GetError> {
    crate::tls::install_crypto_provider();
    let mut builder = Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .redirect(reqwest::redirect::Policy::limited(5))
        .user_agent(concat!("zhenyin/", env!("CARGO_PKG_VERSION")));
    if url.starts_with("http://127.0.0.1:") {
        builder = builder.no_proxy();
    }
    builder.build().map_err(GetError::Client)
}

fn sha256_of(file: &Path) -> io::Result<String> {
    use std::fmt::Write as _;
    let mut file = File::open(file)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        context.update(&buffer[..count]);
    }
    Ok(context.finish().as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn writing(file: &Path) -> impl Fn(io::Error) -> GetError {
    let file = file.to_owned();
    move |source| GetError::Write { file: file.clone(), source }
}

const CONNECT: Duration = Duration::from_secs(10);
/// A line that is silent for so long is broken.
const SILENCE: Duration = Duration::from_secs(30);
