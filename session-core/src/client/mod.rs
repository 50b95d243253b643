//! The client of a request, and what is recorded of it. All of it is input from outside: it is cut,
//! cleaned or ignored, and never an error. Not here: whose address it is, see `address`; how
//! devices are named, see `device_rules`; and how stored fingerprints are, see `first_rules`.

use std::net::IpAddr;

use crate::model::record::ClientInfo;
use device_rules::DeviceRules;

pub(crate) mod address;
pub(crate) mod device;
pub(crate) mod device_rules;
mod first_rules;
mod forwarded;
pub(crate) mod networks;
mod user_agent;

/// Most bytes of a `User-Agent` that are kept.
const MAX_USER_AGENT: usize = 512;

/// What a request says about its client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    ip: Option<IpAddr>,
    /// As it arrived, cut to length.
    user_agent: Vec<u8>,
}

impl Client {
    pub(crate) fn new(ip: Option<IpAddr>, user_agent: &[u8]) -> Self {
        Self { ip, user_agent: user_agent[..user_agent.len().min(MAX_USER_AGENT)].to_vec() }
    }

    /// What is recorded of it at sign-in.
    pub(crate) fn info(&self, rules: &DeviceRules) -> ClientInfo {
        let ip_address = self.ip.map(|ip| ip.to_string()).unwrap_or_default();
        if self.user_agent.is_empty() {
            return ClientInfo { ip_address, ..ClientInfo::default() };
        }
        let user_agent = clean(&self.user_agent, MAX_USER_AGENT);
        let device = rules.device(&user_agent);
        ClientInfo {
            ip_address,
            device_name: device.name.into_owned(),
            device_type: device.kind.into_owned(),
            fingerprint: first_rules::fingerprint(&user_agent),
            user_agent,
        }
    }

    /// Whether this client is the one that was recorded at sign-in, but for versions.
    pub(crate) fn is_as_recorded(&self, info: &ClientInfo, rules: &DeviceRules) -> bool {
        // Equal as it is where there is nothing to clean.
        self.user_agent == info.user_agent.as_bytes() || self.is_like(info, rules)
    }

    #[cold]
    fn is_like(&self, info: &ClientInfo, rules: &DeviceRules) -> bool {
        let user_agent = clean(&self.user_agent, MAX_USER_AGENT);
        match (user_agent.as_str(), info.user_agent.as_str()) {
            ("", _) => false,
            // The sign-in had none, or the application keeps none.
            (now, "") => !info.fingerprint.is_empty() && !first_rules::is_other(&info.fingerprint, now),
            (now, then) => now == then || rules.is_same(now, then),
        }
    }

    /// By which this client is known among others of a session.
    pub(crate) fn user_agent(&self) -> &[u8] {
        &self.user_agent
    }
}

/// `bytes` as text of at most `most` bytes. Control characters and bytes that aren't UTF-8 are
/// replaced.
fn clean(bytes: &[u8], most: usize) -> String {
    let cut = &bytes[..bytes.len().min(most)];
    // What browsers send is plain ASCII.
    if let Ok(plain) = str::from_utf8(cut)
        && cut.iter().all(|byte| matches!(byte, b' '..=b'~'))
    {
        return plain.to_owned();
    }
    let mut text: String = String::from_utf8_lossy(cut)
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    while text.len() > most {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::device::Device;
    use super::*;

    fn client(user_agent: &str) -> Client {
        Client::new(None, user_agent.as_bytes())
    }

    /// Whether the client is the one that signed in, by the library's rules.
    fn is_same(now: &str, then: &ClientInfo) -> bool {
        client(now).is_as_recorded(then, &DeviceRules::default())
    }

    fn signed_in_with(user_agent: &str) -> ClientInfo {
        client(user_agent).info(&DeviceRules::default())
    }

    #[test]
    fn a_browser_update_is_no_other_client() {
        let firefox = |v: u32| format!("Mozilla/5.0 (X11; Linux x86_64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0");
        let info = signed_in_with(&firefox(130));
        assert_eq!((info.device_name.as_str(), info.device_type.as_str()), ("Firefox on Linux", "desktop"));
        assert!(is_same(&firefox(130), &info) && is_same(&firefox(131), &info));
        assert!(
            is_same(&firefox(140).replace("X11;", "X11; Ubuntu;"), &info),
            "more than numbers, and the same families"
        );
        assert!(!is_same("curl/8", &info) && !is_same("", &info));
        let (curl, silent, unknown) = (signed_in_with("curl/8"), signed_in_with(""), signed_in_with("x"));
        assert!(is_same("curl/8", &curl) && is_same("curl/9", &curl));
        assert!(is_same("", &silent) && !is_same("curl/8", &silent));
        assert!(!is_same("", &unknown) && is_same("y", &unknown));
    }

    #[test]
    fn two_headers_are_compared_by_todays_rules() {
        let iphone = |app: &str| format!("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Mobile/15E148 {app}");
        let mut info = signed_in_with(&iphone("Instagram 360.0"));
        for of_other_rules in ["iOS/other", "Plan 9/Mothra", "2:iOS/Instagram", ""] {
            info.fingerprint = of_other_rules.to_owned();
            assert!(is_same(&iphone("Instagram 361.0 (scale)"), &info), "{of_other_rules}");
            assert!(!is_same(&iphone("[FBAN/FBIOS]"), &info), "{of_other_rules}");
        }
        let control = ClientInfo { fingerprint: "Plan 9/Mothra".into(), ..signed_in_with("a\u{1}b") };
        assert!(is_same("a\u{1}b", &control), "the very same header");
    }

    #[test]
    fn a_fingerprint_counts_where_no_header_was_kept() {
        let kept = |fingerprint: &str| ClientInfo { fingerprint: fingerprint.to_owned(), ..ClientInfo::default() };
        assert!(is_same("curl/9", &kept("other/curl")) && !is_same("Wget/1", &kept("other/curl")));
        for of_other_rules in ["2:iOS/Instagram", "v2:os=plan9;browser=mothra", "linux firefox"] {
            assert!(is_same("curl/9", &kept(of_other_rules)), "{of_other_rules}");
        }
    }

    #[test]
    fn the_applications_rules_decide() {
        let rules = DeviceRules::of(|user_agent| Device {
            browser: user_agent.split('/').next().unwrap_or_default().to_owned().into(),
            name: format!("{user_agent}\n").into(),
            kind: "é".repeat(100).into(),
            ..Device::default()
        });
        let info = client("a/1").info(&rules);
        assert_eq!(info.device_name, "a/1\u{fffd}");
        assert!(info.device_type.len() <= 100 && info.device_type.starts_with('é'));
        assert!(client("a/2 x").is_as_recorded(&info, &rules) && !client("b/1").is_as_recorded(&info, &rules));
        assert!(is_same("b/1", &info), "the library knows neither");
    }

    proptest! {
        #[test]
        fn any_header_is_cut_and_clean(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let (client, rules) = (Client::new(None, &bytes), DeviceRules::default());
            let info = client.info(&rules);
            let text = &info.user_agent;
            prop_assert!(text.len() <= MAX_USER_AGENT && !text.chars().any(char::is_control));
            prop_assert!(client.is_as_recorded(&info, &rules));
        }

        #[test]
        fn any_words_have_a_short_name(words in "([A-Za-z;()/%. é-]|Android|bot|/1 |Line/|Darwin/){0,80}") {
            let info = signed_in_with(&words);
            prop_assert!(info.device_name.len() <= 100 && !info.device_name.chars().any(char::is_control));
        }
    }
}
