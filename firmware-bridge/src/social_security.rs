//! Reading a 社会保障卡: the issuance file EF05 and the holder file EF06, record by record, by tag.
//! Never asks for a PIN, leaves keys to `authenticator`, never takes a record that is not the one asked for, and never puts together
//! records of two cards: the 卡识别码 is read first and last and must be the same.

mod fields;

use zhenyin_core::card::{CardAlgorithm, CardCode, CardIdentity, CardWarning, HolderData};

use crate::apdu::{self, CommandApdu, StatusWord};
use crate::authenticator::{self, AuthenticationError, Authenticator, CardFacts};
use crate::card_error::{CardReadError, Step};
use crate::card_slot::CardSlot;
use crate::tlv;
use fields::{HolderRecords, IssuanceRecords};

/// How far a reading came, also when it failed: what decides whether it may be begun again.
#[derive(Debug, Default)]
pub struct Progress {
    /// The 卡识别码 as first read.
    pub code: Option<CardCode>,
    /// Why the holder file stayed closed, where somebody was asked to open it.
    pub authentication: Option<AuthenticationError>,
    /// Whether the card was given an answer. Then it is never tried again by itself.
    pub answer_sent: bool,
}

/// Reads the powered card in `slot`. Numbers of records differ between card versions, tags do not.
pub fn read(
    slot: &mut dyn CardSlot,
    historical: &[u8],
    authenticator: Option<&mut (dyn Authenticator + '_)>,
    progress: &mut Progress,
) -> Result<CardIdentity, CardReadError> {
    let selected = apdu::exchange(slot, &CommandApdu::select_application(&SOCIAL_SECURITY))?;
    if selected.status != StatusWord::OK {
        return Err(CardReadError::NotSocialSecurity { status: selected.status });
    }
    let issuance = read_issuance(slot, algorithm(&selected.data), progress)?;
    let mut warnings = Vec::new();
    if let (Some(authenticator), Some(code), b"3.") = (authenticator, &progress.code, issuance.generation()) {
        let facts =
            CardFacts { code: code.clone(), algorithm: issuance.algorithm, historical: historical.to_vec() };
        warnings.extend(authenticate(slot, authenticator, &facts, progress)?);
    }
    let holder = read_holder(slot)?;
    let again = read_code(slot)?;
    slot.check_unchanged()?;
    if again != issuance.code {
        return Err(CardReadError::Swapped);
    }
    let issued = issuance.decode(&mut warnings)?;
    let holder = match holder {
        Some(records) => HolderData::Read(records.decode(&mut warnings)?),
        None => HolderData::Locked,
    };
    Ok(CardIdentity { issued, holder, warnings })
}

/// Lets the holder file be opened. Where that fails, the reading goes on without it and a warning says so.
fn authenticate(
    slot: &mut dyn CardSlot,
    authenticator: &mut dyn Authenticator,
    facts: &CardFacts,
    progress: &mut Progress,
) -> Result<Option<CardWarning>, CardReadError> {
    let Err(error) = authenticator::open_holder(slot, authenticator, facts) else {
        progress.answer_sent = true;
        return Ok(None);
    };
    progress.answer_sent = error.was_sent();
    match error.into_slot_error() {
        Ok(slot_error) => return Err(slot_error.into()),
        Err(error) => progress.authentication = Some(error),
    }
    let sent = progress.answer_sent;
    Ok(Some(if sent { CardWarning::AuthenticationRefused } else { CardWarning::AuthenticationMissing }))
}

/// From the file control information of the application; 3DES where it says nothing.
fn algorithm(control: &[u8]) -> CardAlgorithm {
    let marked = control.windows(ALGORITHM_MARK.len() + 1).find_map(|at| at.strip_prefix(&ALGORITHM_MARK));
    marked
        .and_then(|rest| rest.first())
        .map_or(CardAlgorithm::TripleDes, |code| CardAlgorithm::from_code(*code))
}

fn read_issuance(
    slot: &mut dyn CardSlot,
    algorithm: CardAlgorithm,
    progress: &mut Progress,
) -> Result<IssuanceRecords, CardReadError> {
    let code = read_code(slot)?;
    progress.code = <[u8; 16]>::try_from(code.as_slice()).ok().map(CardCode::new);
    Ok(IssuanceRecords {
        algorithm,
        code,
        version: read_record(slot, VERSION)?.required(VERSION)?,
        issued: read_record(slot, ISSUED)?.unlocked(ISSUED)?,
        expires: read_record(slot, EXPIRES)?.unlocked(EXPIRES)?,
        number: read_record(slot, NUMBER)?.unlocked(NUMBER)?,
    })
}

fn read_code(slot: &mut dyn CardSlot) -> Result<Vec<u8>, CardReadError> {
    select(slot, EF05)?.required(EF05)?;
    read_record(slot, CODE)?.required(CODE)
}

/// `None` when the card wants an authentication first.
fn read_holder(slot: &mut dyn CardSlot) -> Result<Option<HolderRecords>, CardReadError> {
    if select(slot, EF06)?.unlocked(EF06)?.is_none() {
        return Ok(None);
    }
    let mut values: [Vec<u8>; HOLDER_RECORDS.len()] = Default::default();
    for (value, record) in values.iter_mut().zip(HOLDER_RECORDS) {
        let found = read_record(slot, record)?;
        if let (Found::Refused(StatusWord::RECORD_NOT_FOUND), NAME_EXTENSION) = (&found, record) {
            continue;
        }
        match found.unlocked(record)? {
            Some(read) => *value = read,
            None => return Ok(None),
        }
    }
    let [id_number, mut name, extension, sex, ethnicity, birthplace, birth_date] = values;
    // A character may straddle the two records: join first, decode later.
    name.extend(extension);
    Ok(Some(HolderRecords { id_number, name, sex, ethnicity, birthplace, birth_date }))
}

/// One record as the tables of the card specification list it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    tag: u8,
    length: u8,
    /// Whether some cards store more than `length`.
    open_ended: bool,
}

impl From<Record> for Step {
    fn from(record: Record) -> Self {
        Self::ReadRecord(record.tag)
    }
}

/// What a card said to a command that it understood.
enum Found<T> {
    Value(T),
    Refused(StatusWord),
}

impl<T> Found<T> {
    fn required(self, step: impl Into<Step>) -> Result<T, CardReadError> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Refused(status) => Err(CardReadError::Refused { step: step.into(), status }),
        }
    }

    /// `None` when the security status is not satisfied; any other refusal is an error.
    fn unlocked(self, step: impl Into<Step>) -> Result<Option<T>, CardReadError> {
        match self {
            Self::Refused(StatusWord::SECURITY_NOT_SATISFIED) => Ok(None),
            Self::Value(_) | Self::Refused(_) => self.required(step).map(Some),
        }
    }
}

impl From<u16> for Step {
    fn from(file: u16) -> Self {
        Self::SelectFile(file)
    }
}

fn select(slot: &mut dyn CardSlot, file: u16) -> Result<Found<()>, CardReadError> {
    let mut status = apdu::exchange(slot, &CommandApdu::select_file(0x02, file))?.status;
    let other_form = [StatusWord::WRONG_PARAMETERS, StatusWord::FILE_NOT_FOUND, StatusWord::WRONG_OFFSET]
        .contains(&status);
    if other_form {
        status = apdu::exchange(slot, &CommandApdu::select_file(0x00, file))?.status;
    }
    Ok(if status == StatusWord::OK { Found::Value(()) } else { Found::Refused(status) })
}

fn read_record(slot: &mut dyn CardSlot, record: Record) -> Result<Found<Vec<u8>>, CardReadError> {
    let Record { tag, length, open_ended } = record;
    let response = apdu::exchange(slot, &CommandApdu::read_record(tag, length + 2))?;
    if response.status != StatusWord::OK {
        return Ok(Found::Refused(response.status));
    }
    let value =
        tlv::value(&response.data, tag).map_err(|source| CardReadError::Record { tag, source })?.to_vec();
    let wanted = usize::from(length);
    if value.len() < wanted || (value.len() > wanted && !open_ended) {
        return Err(CardReadError::RecordLength { tag, wanted, found: value.len() });
    }
    Ok(Found::Value(value))
}

/// GBK bytes of `sx1.sh.社会保障`.
const SOCIAL_SECURITY: [u8; 15] =
    [0x73, 0x78, 0x31, 0x2E, 0x73, 0x68, 0x2E, 0xC9, 0xE7, 0xBB, 0xE1, 0xB1, 0xA3, 0xD5, 0xCF];
/// Issuer's discretionary data that name the algorithm: tag 9F0C, three bytes, 86, one byte, the code.
const ALGORITHM_MARK: [u8; 5] = [0x9F, 0x0C, 0x03, 0x86, 0x01];
const EF05: u16 = 0xEF05;
const EF06: u16 = 0xEF06;

const CODE: Record = Record { tag: 0x01, length: 16, open_ended: false };
const VERSION: Record = Record { tag: 0x03, length: 4, open_ended: false };
const ISSUED: Record = Record { tag: 0x05, length: 4, open_ended: false };
const EXPIRES: Record = Record { tag: 0x06, length: 4, open_ended: false };
const NUMBER: Record = Record { tag: 0x07, length: 9, open_ended: true };

const NAME_EXTENSION: Record = Record { tag: 0x4E, length: 20, open_ended: false };
/// Identity number, name, name extension (2.0 and 3.0), sex, ethnicity, birthplace, birth date.
const HOLDER_RECORDS: [Record; 7] = [
    Record { tag: 0x08, length: 18, open_ended: false },
    Record { tag: 0x09, length: 30, open_ended: false },
    NAME_EXTENSION,
    Record { tag: 0x0A, length: 1, open_ended: false },
    Record { tag: 0x0B, length: 1, open_ended: false },
    Record { tag: 0x0C, length: 3, open_ended: false },
    Record { tag: 0x0D, length: 4, open_ended: false },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_algorithm_stands_after_its_mark() {
        let check =
            |control: &[u8], want: CardAlgorithm| assert_eq!(algorithm(control), want, "{control:02X?}");
        check(&[0x6F, 0x07, 0xA5, 0x05, 0x9F, 0x0C, 0x03, 0x86, 0x01, 0x03], CardAlgorithm::Sm4);
        check(&[0x9F, 0x0C, 0x03, 0x86, 0x01, 0x02, 0x90], CardAlgorithm::Ssf33);
        check(&[0x9F, 0x0C, 0x03, 0x86, 0x01, 0x01], CardAlgorithm::TripleDes);
        check(&[0x9F, 0x0C, 0x03, 0x86, 0x01, 0x07], CardAlgorithm::Other(7));
        for silent in [&[][..], &[0x6F, 0x11, 0x84, 0x0F], &[0x9F, 0x0C, 0x03, 0x86, 0x01]] {
            check(silent, CardAlgorithm::TripleDes);
        }
    }
}
