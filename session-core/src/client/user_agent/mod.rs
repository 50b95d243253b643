//! The library's own rules, which name a device by its `User-Agent`. They change between releases,
//! as browsers do. Not here: the marks that they look for, see `marks`; that a change of them is no
//! change of a client, see `device_rules`; and what names stored fingerprints, see `first_rules`.

use std::borrow::Cow;

use super::device::Device;
use marks::{Found, ROBOT_WORDS, Table, has_robot_word};

mod marks;

/// An app that has no family of its own.
const APP: &str = "App";
/// A robot that has none.
const BOT: &str = "Bot";
const ANDROID_BROWSER: &str = "Android Browser";
const META_QUEST: &str = "Meta Quest Browser";
/// What televisions and consoles call their browsers, after the engine.
const ENGINES: [&str; 5] = ["Chrome", "Safari", "Samsung Internet", ANDROID_BROWSER, APP];
/// Most characters of the name that an app gives itself.
const MAX_OWN_NAME: usize = 40;

impl Device {
    /// Names a device by the library's own rules, which may change with each release.
    ///
    /// ```
    /// use session_core::Device;
    ///
    /// let device = Device::parse("Mozilla/5.0 (X11; Linux; rv:141.0) Gecko Firefox/141.0");
    /// assert_eq!((&*device.name, &*device.kind), ("Firefox on Linux", "desktop"));
    /// assert_eq!((&*device.os, &*device.browser), ("Linux", "Firefox"));
    /// assert_eq!(Device::parse("?"), Device::default());
    /// ```
    pub fn parse(user_agent: &str) -> Self {
        device(user_agent)
    }
}

fn device(user_agent: &str) -> Device {
    let found = Found::new(user_agent);
    let os = os(user_agent, &found);
    let robot = robot(user_agent, &found);
    let browser = robot.map_or_else(|| browser(user_agent, &found, os), |(family, _)| family);
    let kind = if robot.is_some() { "bot" } else { kind(user_agent, &found, os, browser) };
    let name = match robot {
        Some((_, name)) => name.to_owned(),
        None => name(user_agent, &found, browser, kind, os),
    };
    Device { name: name.into(), kind: kind.into(), os: os.into(), browser: browser.into() }
}

fn os(user_agent: &str, found: &Found) -> &'static str {
    match found.family(Table::Systems) {
        Some(os) => os,
        None if !says(user_agent, "Darwin/") => "",
        // Apps of Apple's systems. Those of Macs said so, as long as the processors differed.
        None if ["x86_64", "i386", "Mac", "Power"].iter().any(|mark| user_agent.contains(mark)) => "macOS",
        None => "iOS",
    }
}

/// A robot's family and its name.
fn robot<'a>(user_agent: &'a str, found: &Found) -> Option<(&'static str, &'a str)> {
    if let Some(family) = found.family(Table::Robots) {
        return Some((family, family));
    }
    match robot_word(user_agent) {
        Some(word) if ROBOT_WORDS.iter().chain(&["robot"]).any(|it| it.eq_ignore_ascii_case(word)) => Some((BOT, BOT)),
        Some(word) => Some((BOT, word)),
        // The page on which a robot explains itself.
        None if user_agent.contains("+http") => Some((BOT, BOT)),
        None => None,
    }
}

/// The first word that ends as robots' names do.
fn robot_word(user_agent: &str) -> Option<&str> {
    if !has_robot_word(user_agent) {
        return None;
    }
    let ends_in = |word: &str, end: &str| {
        let bytes = word.as_bytes();
        bytes.len() >= end.len() && bytes[bytes.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
    };
    let mut words = user_agent.split(|c: char| !c.is_ascii_alphabetic());
    // Cubot makes phones.
    words.find(|word| ROBOT_WORDS.iter().any(|end| ends_in(word, end)) && !ends_in(word, "cubot"))
}

fn browser(user_agent: &str, found: &Found, os: &str) -> &'static str {
    if let Some(family) = found.family(Table::Apps).or_else(|| found.family(Table::Libraries)) {
        return family;
    }
    let family = found.family(Table::Browsers);
    let is_in_app = || user_agent.contains("; wv)") || user_agent.contains("Version/4.0 Chrome/");
    match family {
        None | Some("Chrome") if os == "Android" && is_in_app() => APP,
        Some("Safari") if os == "Android" => ANDROID_BROWSER,
        Some(family) => family,
        None => match found.family(Table::Scripts) {
            Some(family) => family,
            // On these systems what isn't a browser is an app.
            None if matches!(os, "Android" | "iOS" | "iPadOS" | "tvOS" | "watchOS") => APP,
            None => "",
        },
    }
}

fn kind(user_agent: &str, found: &Found, os: &str, browser: &str) -> &'static str {
    if Table::Scripts.has(browser) {
        return "script";
    }
    if browser == META_QUEST {
        return "headset";
    }
    if matches!(os, "tvOS" | "Roku" | "Chromecast") || found.family(Table::Televisions).is_some() {
        return "tv";
    }
    let is_handheld = found.family(Table::Handhelds).is_some();
    match os {
        "PlayStation" | "Xbox" | "Nintendo Switch" | "Nintendo 3DS" | "Nintendo DS" | "Wii" | "Wii U" => "console",
        "watchOS" => "watch",
        "iOS" | "Windows Phone" | "KaiOS" => "mobile",
        "iPadOS" | "Kindle" | "Kobo" => "tablet",
        "Android" | "HarmonyOS" | "Tizen" | "webOS" if says(user_agent, "Tablet") => "tablet",
        "Android" | "HarmonyOS" | "Tizen" | "webOS" if is_handheld => "mobile",
        "HarmonyOS" if says(user_agent, "PC") => "desktop",
        // Browsers of phones say that they are mobile, and apps say nothing of the kind.
        "Android" | "HarmonyOS" | "Tizen" | "webOS" if user_agent.starts_with("Mozilla/") => "tablet",
        "Android" | "HarmonyOS" | "Tizen" | "webOS" => "mobile",
        "" | "Linux" if is_handheld => "mobile",
        "" if Table::Libraries.has(browser) || Table::Apps.has(browser) => "app",
        "" => "",
        _ if matches!(browser, "okhttp" | "Dart") => "app",
        _ => "desktop",
    }
}

fn name(user_agent: &str, found: &Found, browser: &str, kind: &str, os: &str) -> String {
    let place = match kind {
        "tv" => found.family(Table::TelevisionNames).unwrap_or("TV"),
        "console" => found.family(Table::ConsoleNames).unwrap_or(os),
        "headset" => "Meta Quest",
        "watch" => "Apple Watch",
        _ => os,
    };
    let program: Cow<'_, str> = match browser {
        _ if matches!(kind, "tv" | "console") && ENGINES.contains(&browser) => "".into(),
        META_QUEST => "".into(),
        APP => own_name(user_agent, found).unwrap_or(APP.into()),
        "CFNetwork" | "okhttp" | "Dart" => {
            own_name(user_agent, found).unwrap_or_else(|| format!("App ({browser})").into())
        }
        "curl" | "Wget" | "Postman" | "Insomnia" | "Bruno" | "PowerShell" => browser.into(),
        _ if kind == "script" => format!("Script ({browser})").into(),
        _ => browser.into(),
    };
    match (&*program, place) {
        ("", place) => place.to_owned(),
        (program, "") => program.to_owned(),
        (program, place) => format!("{program} on {place}"),
    }
}

/// What an app calls itself at the beginning of its header, such as `Chess` in
/// `Chess/4.1 CFNetwork/1474 Darwin/23.0.0`.
fn own_name<'a>(user_agent: &'a str, found: &Found) -> Option<Cow<'a, str>> {
    let (name, _) = user_agent.split_once('/')?;
    let is_library =
        name == "Mozilla" || name == "Dalvik" || found.family(Table::Libraries).is_some_and(|its| its == name);
    let is_plain = name.chars().all(|c| c.is_alphanumeric() || " %-_.&'!+".contains(c));
    let has_letter = name.chars().any(char::is_alphabetic);
    (!is_library && is_plain && has_letter && name.chars().count() <= MAX_OWN_NAME)
        .then(|| if name.contains("%20") { name.replace("%20", " ").into() } else { name.into() })
}

/// Whether a mark is found where a word begins.
fn says(user_agent: &str, mark: &str) -> bool {
    let text = user_agent.as_bytes();
    let is_word = mark.as_bytes()[0].is_ascii_alphanumeric();
    user_agent.match_indices(mark).any(|(at, _)| !is_word || at == 0 || !text[at - 1].is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(user_agent: &str) -> (String, String) {
        let Device { name, kind, .. } = device(user_agent);
        (name.into_owned(), kind.into_owned())
    }

    #[track_caller]
    fn all_are(cases: &[(&str, &str, &str)]) {
        for (user_agent, name, kind) in cases {
            assert_eq!(named(user_agent), ((*name).to_owned(), (*kind).to_owned()), "{user_agent}");
        }
    }

    const IOS: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)";
    const ANDROID: &str = "Mozilla/5.0 (Linux; Android 15; Pixel 9 Build/AP4A; wv) AppleWebKit/537.36 (KHTML, like Gecko) \
                           Version/4.0 Chrome/139.0.0.0 Mobile Safari/537.36";
    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 \
                          Safari/537.36";

    #[test]
    fn pages_inside_apps() {
        for (mark, app) in [
            ("Mobile/15E148 [FBAN/FBIOS;FBAV/500.0.0.1;FBBV/1;FBDV/iPhone17,1]", "Facebook"),
            ("Mobile/15E148 [FBAN/MessengerForiOS;FBAV/500.0]", "Messenger"),
            ("Mobile/15E148 Instagram 360.0.0.30.109 (iPhone17,1; iOS 18_5; en_US)", "Instagram"),
            ("Mobile/15E148 MicroMessenger/8.0.50(0x18003237) NetType/WIFI Language/en", "WeChat"),
            ("Mobile/15E148 Safari Line/15.8.1", "LINE"),
            ("Mobile/15E148 BytedanceWebview/d8a21c6 musical_ly_38.4.0", "TikTok"),
            ("Mobile/15E148 [LinkedInApp]/9.30", "LinkedIn"),
            ("GSA/370.0 Mobile/15E148 Safari/604.1", "Google"),
            ("Mobile/15E148", "App"),
        ] {
            all_are(&[(&format!("{IOS} {mark}"), &format!("{app} on iOS"), "mobile")]);
        }
        for (mark, app) in [
            (" [FB_IAB/FB4A;FBAV/500.0.0.1;]", "Facebook"),
            (" [FB_IAB/Orca-Android;FBAV/500.0;]", "Messenger"),
            (" Instagram 360.0.0.30.109 Android (35/15; 420dpi)", "Instagram"),
            (" MMWEBID/1 MicroMessenger/8.0.50.2701(0x2800325B) WeChat/arm64", "WeChat"),
            ("", "App"),
        ] {
            all_are(&[(&format!("{ANDROID}{mark}"), &format!("{app} on Android"), "mobile")]);
        }
    }

    #[test]
    fn browsers_that_name_others() {
        for (mark, browser) in [
            ("Brave/139", "Brave"),
            ("YaBrowser/25.6.0.0 Yowser/2.5", "Yandex"),
            ("Whale/4.33.325.17", "Whale"),
            ("HuaweiBrowser/14.0.5.301", "Huawei Browser"),
            ("DuckDuckGo/7", "DuckDuckGo"),
            ("Ddg/17.5", "DuckDuckGo"),
            ("OPR/120.0.0.0", "Opera"),
            ("Vivaldi/7.5", "Vivaldi"),
            ("Edg/139.0.0.0", "Edge"),
            ("coc_coc_browser/130", "Cốc Cốc"),
            ("Online/1 Baseline/2", "Chrome"),
        ] {
            all_are(&[(&format!("{CHROME} {mark}"), &format!("{browser} on Windows"), "desktop")]);
        }
        all_are(&[
            (
                "Mozilla/5.0 (Linux; Android 11; KFTRWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/120.4.1 like Chrome/120.0 \
                 Safari/537.36",
                "Silk on Android",
                "tablet",
            ),
            (
                "Opera/9.80 (Android; Opera Mini/80.0.2254/191.303; U; en) Presto/2.12.423 Version/12.16",
                "Opera Mini on Android",
                "mobile",
            ),
            (
                "Mozilla/5.0 (Linux; U; Android 4.1.2; de-de; GT-I9100 Build/JZO54K) AppleWebKit/534.30 (KHTML, like Gecko) \
                 Version/4.0 Mobile Safari/534.30",
                "Android Browser on Android",
                "mobile",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/139 \
                 Version/11.1.1 Safari/605.1.15",
                "Chrome on iPadOS",
                "tablet",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
                "Internet Explorer on Windows",
                "desktop",
            ),
            (
                "Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36 \
                 ArkWeb/4.1 Mobile HuaweiBrowser/5.1",
                "Huawei Browser on HarmonyOS",
                "mobile",
            ),
        ]);
    }

    #[test]
    fn televisions_consoles_watches_and_headsets() {
        const WEBKIT: &str = "AppleWebKit/537.36 (KHTML, like Gecko)";
        for (system, engine, name, kind) in [
            ("SMART-TV; LINUX; Tizen 8.0", "SamsungBrowser/7.4 Chrome/108.0 TV Safari/537.36", "Samsung TV", "tv"),
            ("Web0S; Linux/SmartTV", "Chrome/120.0 Safari/537.36 WebAppManager", "LG TV", "tv"),
            ("Linux; Android 12; BRAVIA 4K VH2", "Chrome/120.0 Safari/537.36", "Sony TV", "tv"),
            (
                "Linux; Andr0id 9; BRAVIA 4K UR2",
                "OPR/46.0 Chrome/120.0 Safari/537.36 OMI/4.21",
                "Opera on Sony TV",
                "tv",
            ),
            ("Linux; Android 9; AFTKA", "Silk/120.1 like Chrome/120.0 Safari/537.36", "Silk on Fire TV", "tv"),
            ("X11; Linux armv7l", "Chrome/90.0 Safari/537.36 CrKey/1.56", "Chromecast", "tv"),
            ("PlayStation; PlayStation 5/9.00", "Version/13.0 Safari/605.1.15", "PlayStation 5", "console"),
            ("PlayStation 4 11.00", "", "PlayStation 4", "console"),
            ("Windows NT 10.0; Win64; x64; Xbox; Xbox One", "Chrome/120 Safari/537 Edge/44", "Edge on Xbox", "console"),
            ("Nintendo Switch; WifiWebAuthApplet", "NF/6.0 NintendoBrowser/5.1", "Nintendo Switch", "console"),
            ("X11; Linux x86_64; Quest 3", "OculusBrowser/36.6 Chrome/130.0 VR Safari/537.36", "Meta Quest", "headset"),
        ] {
            all_are(&[(&format!("Mozilla/5.0 ({system}) {WEBKIT} {engine}"), name, kind)]);
        }
        all_are(&[
            ("AppleTV14,1/17.5", "Apple TV", "tv"),
            ("Roku/DVP-14.0 (14.0.0.4100-AE)", "Roku", "tv"),
            ("News/4.3 (Watch7,1; watchOS 11.5)", "News on Apple Watch", "watch"),
        ]);
    }

    #[test]
    fn apps_and_scripts() {
        all_are(&[
            ("okhttp/4.12.0", "App (okhttp)", "app"),
            ("Chess/4.1 okhttp/4.12.0", "Chess", "app"),
            ("Dart/3.8 (dart:io)", "App (Dart)", "app"),
            ("WhatsApp/2.25.20", "WhatsApp", "app"),
            ("Chess/4.1 CFNetwork/1474 Darwin/23.0.0", "Chess on iOS", "mobile"),
            ("My%20Chess/4.1 CFNetwork/1474 Darwin/23.0.0", "My Chess on iOS", "mobile"),
            ("CFNetwork/1474 Darwin/23.0.0", "App (CFNetwork) on iOS", "mobile"),
            ("Chess/4.1 CFNetwork/1128.0.1 Darwin/19.6.0 (x86_64)", "Chess on macOS", "desktop"),
            ("Chess/4.1 (com.example.chess; build:7; iOS 18.5.0) Alamofire/5.10", "Chess on iOS", "mobile"),
            ("Dalvik/2.1.0 (Linux; U; Android 15; Pixel 9 Build/AP4A)", "App on Android", "mobile"),
            ("python-requests/2.32.4", "Script (python-requests)", "script"),
            ("Go-http-client/2.0", "Script (Go-http-client)", "script"),
            ("curl/8.14.1", "curl", "script"),
            ("x", "", ""),
            ("", "", ""),
        ]);
    }

    #[test]
    fn readers_and_tools() {
        all_are(&[
            (
                "Mozilla/5.0 (X11; U; Linux armv7l like Android; en-us) AppleWebKit/531.2+ (KHTML, like Gecko) Version/5.0 \
                 Safari/533.2+ Kindle/3.0+",
                "Safari on Kindle",
                "tablet",
            ),
            (
                "Mozilla/5.0 (Linux; U; Android 2.0; en-us;) AppleWebKit/533.1 (KHTML, like Gecko) Version/4.0 Mobile \
                 Safari/533.1 (Kobo Touch 0384/4.41)",
                "Safari on Kobo",
                "tablet",
            ),
            (
                "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1",
                "PowerShell on Windows",
                "script",
            ),
            ("insomnia/11.6.1", "Insomnia", "script"),
            ("hyper/1.7.0", "Script (hyper)", "script"),
            ("Wget2/2.2.0", "Wget", "script"),
            (&format!("{CHROME} OPR/122.0.0.0 (Edition GX-CN)"), "Opera GX on Windows", "desktop"),
            (&CHROME.replace("Chrome/139.0.0.0", "HeadlessChrome/139.0.0.0"), "Headless Chrome", "bot"),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0 LibreWolf/140.0",
                "LibreWolf on Linux",
                "desktop",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Code/1.105.1 \
                 Chrome/138.0 Electron/37.6 Safari/537.36",
                "Visual Studio Code on macOS",
                "desktop",
            ),
            (
                "Mozilla/5.0 (Nintendo Switch 2; WebApplet) AppleWebKit/609.4 (KHTML, like Gecko) NF/6.0",
                "Nintendo Switch 2",
                "console",
            ),
        ]);
    }

    #[test]
    fn robots_on_any_device() {
        all_are(&[
            (&format!("{IOS} Version/18.5 Mobile/15E148 Safari/604.1 (compatible; Googlebot/2.1)"), "Googlebot", "bot"),
            (&format!("{ANDROID} (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"), "bingbot", "bot"),
            (&format!("{CHROME} (compatible; MojeekBot/0.11)"), "MojeekBot", "bot"),
            ("facebookexternalhit/1.1", "Facebook bot", "bot"),
            ("Fetcher/1 (+https://fetcher.example)", "Bot", "bot"),
            ("Mozilla/5.0 (compatible; a spider)", "Bot", "bot"),
            (
                "Mozilla/5.0 (Linux; Android 13; CUBOT X50) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Mobile \
                 Safari/537.36",
                "Chrome on Android",
                "mobile",
            ),
        ]);
    }

    #[test]
    fn families_hold_no_version() {
        use Table::{Apps, Browsers, Libraries, Robots, Scripts, Systems};
        let tables = [Robots, Apps, Browsers, Libraries, Scripts, Systems];
        for (mark, family) in tables.into_iter().flat_map(|table| table.marks()) {
            let is_version =
                family.contains(|c: char| c.is_ascii_digit()) && !["Nintendo 3DS", "MJ12bot"].contains(family);
            assert!(!mark.is_empty() && !family.is_empty() && !is_version, "{mark}: {family}");
        }
    }
}
