//! The demo's accounts and the check of a password.
//! Leaves it to the caller to run the check where blocking is allowed, and to limit attempts as a real app must.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error, PasswordHasher, PasswordVerifier};

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
}

impl Accounts {
    /// Hashes the demo passwords with Argon2id and a random salt each; takes a good part of a second.
    ///
    /// # Errors
    /// When the operating system has no random bytes for the salts.
    pub fn demo() -> Result<Self, Error> {
        let hashes =
            DEMO_ACCOUNTS.iter().map(|account| Ok((account, hash(account.password)?))).collect::<Result<_, Error>>()?;
        Ok(Self { hashes, decoy: hash("nobody has this password")? })
    }

    /// The account, if the password is right.
    ///
    /// Computes for some 50 ms on purpose: call it where blocking is allowed (`spawn_blocking` or the like).
    /// An unknown username costs the same work, so that the time taken doesn't tell which usernames exist.
    pub fn verify(&self, username: &str, password: &str) -> Option<&'static Account> {
        let known = self.hashes.iter().find(|(account, _)| account.username == username);
        let hash = known.map_or(&self.decoy, |(_, hash)| hash);
        let right = Argon2::default().verify_password(password.as_bytes(), hash).is_ok();
        known.filter(|_| right).map(|&(account, _)| account)
    }
}

fn hash(password: &str) -> Result<PasswordHash, Error> {
    Argon2::default().hash_password(password.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_of_a_known_user_is_accepted() {
        let accounts = Accounts::demo().unwrap();
        for account in &DEMO_ACCOUNTS {
            assert_eq!(accounts.verify(account.username, account.password), Some(account));
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
            assert_eq!(accounts.verify(username, password), None, "{username}/{password}");
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
    fn the_decoy_costs_what_an_account_costs() {
        let accounts = Accounts::demo().unwrap();
        assert!(accounts.hashes.iter().all(|(_, hash)| hash.params == accounts.decoy.params));
    }
}
