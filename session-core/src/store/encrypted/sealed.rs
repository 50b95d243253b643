//! Sealed data as the text of a row: no JSON, so a node without the keys takes it for data that
//! can't be understood and never for an empty session.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::error::StoreError;
use crate::keys::KeyRing;
use crate::keys::seal::{SEALED_MORE, SealKeys, Unopened};
use crate::model::data::Data;
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::user_id::UserId;

/// What the text begins with.
const MARK: &str = "sealed:1:";
/// What plain data is read as where it isn't accepted. No JSON.
const NOT_SEALED: &str = "not encrypted";
const LABEL: &str = "session-core/data/v1:";
/// Unknown keys that are reported, once each.
const MAX_REPORTED: usize = 8;

/// Longest text whose sealed form has at most `bytes`.
pub(super) const fn most_text(bytes: usize) -> usize {
    let sealed = bytes.saturating_sub(MARK.len());
    // Base64 without padding: four characters for three bytes, two for one and three for two.
    let bytes = sealed / 4 * 3 + [0, 0, 1, 2][sealed % 4];
    bytes.saturating_sub(SEALED_MORE)
}

/// Seals data, and opens it.
pub(super) struct Sealer {
    keys: SealKeys,
    pub(super) accepts_plain: bool,
    /// What was reported already.
    reported: Mutex<BTreeSet<String>>,
}

impl Sealer {
    pub(super) fn new(keys: &KeyRing) -> Self {
        Self { keys: SealKeys::new(keys, LABEL), accepts_plain: false, reported: Mutex::default() }
    }

    pub(super) fn sealed(&self, user: &UserId, id: SessionId, data: &Data) -> Result<Data, StoreError> {
        let sealed = self.keys.seal(data.text().as_bytes(), &place(user, id))?;
        let mut text = MARK.to_owned();
        STANDARD_NO_PAD.encode_string(sealed, &mut text);
        Ok(Data::from_text(text))
    }

    /// The row with its data opened; data that can't be is left as no JSON.
    pub(super) fn opened(&self, mut row: Arc<Record>) -> Arc<Record> {
        let text = row.data.text();
        let data = match text.strip_prefix(MARK) {
            None if self.accepts_plain => return row,
            None => {
                self.report("not encrypted, and `accept_plain_data()` isn't set");
                Data::from_text(NOT_SEALED)
            }
            Some(sealed) => match self.open(sealed, &row) {
                Ok(text) => Data::from_text(text),
                Err(cause) => {
                    self.report(&cause);
                    return row;
                }
            },
        };
        Arc::make_mut(&mut row).data = data;
        row
    }

    fn open(&self, sealed: &str, row: &Record) -> Result<String, String> {
        let changed = || "not as it was encrypted, or another session's".to_owned();
        let sealed = STANDARD_NO_PAD.decode(sealed).map_err(|_| changed())?;
        let text = self.keys.open(&sealed, &place(&row.user_id, row.id)).map_err(|error| match error {
            Unopened::UnknownKey(id) => {
                let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("encrypted with a key that isn't in the ring (its id is {id})")
            }
            Unopened::NotSealedSo => changed(),
        })?;
        String::from_utf8(text).map_err(|_| changed())
    }

    /// Says once what is wrong: each session that is read has an event of its own.
    fn report(&self, cause: &str) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() < MAX_REPORTED && reported.insert(cause.to_owned()) {
            tracing::error!("the data of a session can't be decrypted: it is {cause}. Reported once for all sessions");
        }
    }
}

/// What data is sealed for. Session ids all have the same length.
fn place(user: &UserId, id: SessionId) -> Vec<u8> {
    [id.as_bytes(), user.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::tests::logged;
    use crate::keys::SigningKey;
    use crate::policy::rotation::tests::rotated;

    proptest! {
        #[test]
        fn the_longest_text_fits_and_no_longer_one(bytes in 68..2000_usize) {
            let sealer = Sealer::new(&SigningKey::from_bytes(&[1; 32]).unwrap().into());
            let user = UserId::of_user("ada").unwrap();
            let length = |text: usize| {
                let data = Data::from_text("x".repeat(text));
                sealer.sealed(&user, SessionId::from_bytes([1; 16]), &data).unwrap().text().len()
            };
            let most = most_text(bytes);
            prop_assert!(length(most) <= bytes && length(most + 1) > bytes);
        }
    }

    #[test]
    fn a_cause_is_reported_once_and_shows_no_data() {
        let sealer = |seed| Sealer::new(&SigningKey::from_bytes(&[seed; 32]).unwrap().into());
        let (one, other) = (sealer(1), sealer(2));
        let row = Arc::new(rotated(true));
        let with = |data: Data| Arc::new(Record { data, ..Record::clone(&row) });
        let sealed = with(one.sealed(&row.user_id, row.id, &Data::from_text("{\"secret\":1}")).unwrap());
        let plain = with(Data::from_text("{\"secret\":1}"));
        assert_eq!(one.opened(Arc::clone(&sealed)).data.text(), "{\"secret\":1}");
        for (row, says) in [(sealed, "a key that isn't in the ring"), (plain, "`accept_plain_data()` isn't set")] {
            let mut opened = None;
            let log = logged(|| opened = Some([0; 3].map(|_| other.opened(Arc::clone(&row)))));
            assert!(log.lines().count() == 1 && log.contains("ERROR") && log.contains(says), "{log}");
            assert!(!log.contains("secret") && !log.contains(MARK), "{log}");
            assert!(opened.unwrap().iter().all(|row| row.data.values().is_none()));
        }
    }
}
