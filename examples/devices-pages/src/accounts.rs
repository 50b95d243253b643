//! The demo's accounts and the check of a password. Leaves to `password_checks` where it runs and
//! how many at once, and to the caller to limit attempts as a real app must.

use std::sync::Arc;

use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::password_hash::{Error, PasswordHasher};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use crate::password_checks::{Memory, PasswordChecks};
use crate::{Password, Unchecked, Username};

/// Someone who can sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// What is typed at sign-in, and the user id of the session.
    pub username: &'static str,
    /// The password in plain text: this is a demo that shows it on its sign-in page.
    pub password: &'static str,
    /// The name on the pages.
    pub full_name: &'static str,
}

/// Everyone who can sign in to the demo.
pub const DEMO_ACCOUNTS: [Account; 3] = [
    Account { username: "ada", password: "lovelace", full_name: "Ada Lovelace" },
    Account { username: "alan", password: "turing", full_name: "Alan Turing" },
    Account { username: "grace", password: "hopper", full_name: "Grace Hopper" },
];

impl Account {
    /// The account of a username, compared byte for byte.
    pub fn named(username: &str) -> Option<&'static Self> {
        DEMO_ACCOUNTS.iter().find(|account| account.username == username)
    }
}

/// The password hashes of the accounts, as a real app would keep them in its user table.
#[derive(Debug)]
pub struct Accounts {
    hashes: Vec<(&'static Account, PasswordHash)>,
    decoy: PasswordHash,
    checks: PasswordChecks,
}

impl Accounts {
    /// Hashes the demo passwords with Argon2id and a random salt each; takes a good part of a
    /// second.
    ///
    /// # Errors
    /// When the operating system has no random bytes for the salts.
    pub fn demo() -> Result<Self, Error> {
        let hashes =
            DEMO_ACCOUNTS.iter().map(|account| Ok((account, hash(account.password)?))).collect::<Result<_, Error>>()?;
        Ok(Self { hashes, decoy: hash("nobody has this password")?, checks: PasswordChecks::here() })
    }

    /// The account, if the password is right. Computes beside the async threads, for some 50 ms on
    /// purpose.
    ///
    /// # Errors
    /// [`Unchecked::Busy`] while too many other checks are in flight.
    pub async fn check(
        self: &Arc<Self>,
        username: Username,
        password: Password,
    ) -> Result<Option<&'static Account>, Unchecked> {
        let accounts = Arc::clone(self);
        self.checks.run(move |memory| accounts.verify(username.as_str(), password.reveal(), memory)).await
    }

    /// An unknown username costs the same work, so that the time taken doesn't tell which usernames
    /// exist.
    fn verify(&self, username: &str, password: &str, memory: &mut Memory) -> Option<&'static Account> {
        let known = self.hashes.iter().find(|(account, _)| account.username == username);
        let hash = known.map_or(&self.decoy, |(_, hash)| hash);
        let right = is_right(password, hash, memory).unwrap_or(false);
        known.filter(|_| right).map(|&(account, _)| account)
    }
}

fn hash(password: &str) -> Result<PasswordHash, Error> {
    Argon2::default().hash_password(password.as_bytes())
}

/// As `PasswordVerifier` of `argon2`, which takes fresh memory each time.
fn is_right(password: &str, hash: &PasswordHash, memory: &mut Memory) -> Result<bool, Error> {
    let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else { return Ok(false) };
    let params = Params::try_from(hash)?;
    let version = hash.version.map(Version::try_from).transpose()?.unwrap_or_default();
    let argon2 = Argon2::new(Algorithm::try_from(hash.algorithm.as_str())?, version, params);
    memory.resize(argon2.params().block_count(), Block::new());
    let mut output = vec![0; expected.len()];
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut output, memory)?;
    // Takes the same time wherever they differ.
    Ok(Output::new(&output)? == *expected)
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordVerifier;

    use super::*;

    #[test]
    fn only_the_right_password_of_a_known_user_is_accepted() {
        let accounts = Accounts::demo().unwrap();
        let mut memory = Memory::new();
        for account in &DEMO_ACCOUNTS {
            assert_eq!(accounts.verify(account.username, account.password, &mut memory), Some(account));
        }
        for (username, password) in [
            ("ada", "turing"),
            ("ada", ""),
            ("Ada", "lovelace"),
            ("ada ", "lovelace"),
            ("", ""),
            ("eve", "lovelace"),
            ("eve", "nobody has this password"),
        ] {
            assert_eq!(accounts.verify(username, password, &mut memory), None, "{username}/{password}");
        }
    }

    #[test]
    fn hashes_are_salted_argon2id() {
        let accounts = Accounts::demo().unwrap();
        let texts: Vec<String> = accounts.hashes.iter().map(|(_, hash)| hash.to_string()).collect();
        assert!(texts.iter().all(|text| text.starts_with("$argon2id$v=19$")));
        assert_ne!(hash("same").unwrap().to_string(), hash("same").unwrap().to_string());
    }

    #[test]
    fn a_hash_is_checked_as_the_verifier_of_its_crate_does() {
        // Of other parameters, algorithm and length than ours.
        let params = Params::new(64, 2, 2, Some(24)).unwrap();
        let other = Argon2::new(Algorithm::Argon2i, Version::V0x10, params).hash_password(b"lovelace").unwrap();
        let mut memory = vec![Block::new(); 1000];
        for hash in [other, hash("lovelace").unwrap()] {
            for password in ["lovelace", "Lovelace", ""] {
                let expected = Argon2::default().verify_password(password.as_bytes(), &hash).is_ok();
                assert_eq!(is_right(password, &hash, &mut memory), Ok(expected), "{password} {hash}");
                assert_eq!(expected, password == "lovelace");
            }
        }
    }

    #[test]
    fn the_decoy_costs_what_an_account_costs() {
        let accounts = Accounts::demo().unwrap();
        assert!(accounts.hashes.iter().all(|(_, hash)| hash.params == accounts.decoy.params));
    }
}
