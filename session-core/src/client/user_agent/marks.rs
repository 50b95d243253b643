//! The marks by which the rules name things. The first mark of a table that is found names the
//! family, so the order counts: a page inside an app is shown by the system's browser, whose name
//! its header has too; Edge's header names Chrome, Chrome's names Safari, and Android's Linux.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

/// Marks, and the family that each shows.
pub(super) type Marks = &'static [(&'static str, &'static str)];

/// A table of marks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Table {
    Robots,
    Apps,
    Browsers,
    Libraries,
    Scripts,
    Systems,
    Televisions,
    TelevisionNames,
    ConsoleNames,
    Handhelds,
}

impl Table {
    /// Whether it knows a family.
    pub(super) fn has(self, family: &str) -> bool {
        self.marks().iter().any(|(_, its)| *its == family)
    }

    pub(super) fn marks(self) -> Marks {
        ALL[self as usize].1
    }
}

/// Of all tables, in the order in which `Table` names them.
const ALL: [(Table, Marks); 10] = [
    (Table::Robots, ROBOTS),
    (Table::Apps, APPS),
    (Table::Browsers, BROWSERS),
    (Table::Libraries, LIBRARIES),
    (Table::Scripts, SCRIPTS),
    (Table::Systems, SYSTEMS),
    (Table::Televisions, TELEVISIONS),
    (Table::TelevisionNames, TELEVISION_NAMES),
    (Table::ConsoleNames, CONSOLE_NAMES),
    (Table::Handhelds, HANDHELDS),
];

/// Finds the marks of all tables in one pass.
static FINDER: LazyLock<Finder> = LazyLock::new(Finder::new);

struct Finder {
    automaton: AhoCorasick,
    /// The table and the family of each mark.
    marks: Vec<(Table, &'static str)>,
}

impl Finder {
    fn new() -> Self {
        let marks =
            || ALL.iter().flat_map(|(table, marks)| marks.iter().map(|(mark, family)| (mark, (*table, *family))));
        let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(marks().map(|(mark, _)| mark));
        Self {
            automaton: automaton.expect("a few hundred short marks"),
            marks: marks().map(|(_, names)| names).collect(),
        }
    }
}

/// The first mark of each table that is found in a header.
pub(super) struct Found([Option<usize>; ALL.len()]);

impl Found {
    /// Looks for marks where a word begins, so that `Line/` isn't found in `Online/`.
    pub(super) fn new(user_agent: &str) -> Self {
        let text = user_agent.as_bytes();
        let begins_word =
            |at: usize| at == 0 || !text[at - 1].is_ascii_alphanumeric() || !text[at].is_ascii_alphanumeric();
        let mut first = [None; ALL.len()];
        for found in FINDER.automaton.find_overlapping_iter(text).filter(|found| begins_word(found.start())) {
            let mark = found.pattern().as_usize();
            let first = &mut first[FINDER.marks[mark].0 as usize];
            *first = Some(first.map_or(mark, |other: usize| other.min(mark)));
        }
        Self(first)
    }

    /// The family that a table's first mark shows.
    pub(super) fn family(&self, table: Table) -> Option<&'static str> {
        self.0[table as usize].map(|mark| FINDER.marks[mark].1)
    }
}

/// Robots that are known by a name. Others are found by `ROBOT_WORDS`.
const ROBOTS: Marks = &[
    ("Googlebot", "Googlebot"),
    ("GoogleBot", "Googlebot"),
    ("googlebot", "Googlebot"),
    ("Google-InspectionTool", "Googlebot"),
    ("GoogleOther", "Googlebot"),
    ("AdsBot-Google", "Googlebot"),
    ("bingbot", "bingbot"),
    ("BingPreview", "bingbot"),
    ("Applebot", "Applebot"),
    ("YandexBot", "YandexBot"),
    ("Baiduspider", "Baiduspider"),
    ("DuckDuckBot", "DuckDuckBot"),
    ("PetalBot", "PetalBot"),
    ("Bytespider", "Bytespider"),
    ("facebookexternalhit", "Facebook bot"),
    ("meta-external", "Facebook bot"),
    ("Twitterbot", "Twitterbot"),
    ("LinkedInBot", "LinkedInBot"),
    ("Pinterestbot", "Pinterestbot"),
    ("Slackbot", "Slackbot"),
    ("Discordbot", "Discordbot"),
    ("TelegramBot", "TelegramBot"),
    ("GPTBot", "GPTBot"),
    ("ChatGPT-User", "ChatGPT"),
    ("OAI-SearchBot", "ChatGPT"),
    ("ClaudeBot", "ClaudeBot"),
    ("PerplexityBot", "PerplexityBot"),
    ("CCBot", "CCBot"),
    ("AhrefsBot", "AhrefsBot"),
    ("SemrushBot", "SemrushBot"),
    ("MJ12bot", "MJ12bot"),
    ("DotBot", "DotBot"),
    ("UptimeRobot", "UptimeRobot"),
    ("Pingdom", "Pingdom"),
    ("Chrome-Lighthouse", "Lighthouse"),
    ("HeadlessChrome", "Headless Chrome"),
    ("Claude-User", "Claude"),
    ("Perplexity-User", "Perplexity"),
    ("Google-Read-Aloud", "Google"),
];

/// What the name of a robot ends in, in any case.
pub(super) const ROBOT_WORDS: [&str; 6] = ["bot", "spider", "crawler", "crawl", "slurp", "archiver"];

/// Whether one of those words is somewhere in a header, as it seldom is.
pub(super) fn has_robot_word(user_agent: &str) -> bool {
    static FINDER: LazyLock<AhoCorasick> = LazyLock::new(|| {
        let finder =
            AhoCorasick::builder().ascii_case_insensitive(true).kind(Some(AhoCorasickKind::DFA)).build(ROBOT_WORDS);
        finder.expect("six short words")
    });
    FINDER.is_match(user_agent)
}

/// Apps that show pages themselves.
const APPS: Marks = &[
    ("FBAN/Messenger", "Messenger"),
    ("FB_IAB/MESSENGER", "Messenger"),
    ("FB_IAB/Orca", "Messenger"),
    ("Instagram", "Instagram"),
    ("Barcelona", "Threads"),
    ("WhatsApp", "WhatsApp"),
    ("FBAN/", "Facebook"),
    ("FBAV/", "Facebook"),
    ("FB_IAB/", "Facebook"),
    ("MicroMessenger/", "WeChat"),
    ("Weibo", "Weibo"),
    ("DingTalk", "DingTalk"),
    ("AlipayClient", "Alipay"),
    ("QQ/", "QQ"),
    ("Lark/", "Lark"),
    ("aweme", "Douyin"),
    ("BiliApp", "Bilibili"),
    ("VKAndroidApp/", "VK"),
    ("com.vk.vkclient", "VK"),
    ("NAVER(", "Naver"),
    ("Line/", "LINE"),
    ("KAKAOTALK", "KakaoTalk"),
    ("musical_ly", "TikTok"),
    ("trill_", "TikTok"),
    ("BytedanceWebview", "TikTok"),
    ("Snapchat", "Snapchat"),
    ("Pinterest", "Pinterest"),
    ("LinkedInApp", "LinkedIn"),
    ("Twitter", "X"),
    ("Telegram-", "Telegram"),
    ("Reddit/", "Reddit"),
    ("Tumblr", "Tumblr"),
    ("Discord", "Discord"),
    ("discord/", "Discord"),
    ("Slack/", "Slack"),
    ("Slack_SSB/", "Slack"),
    ("Teams/", "Microsoft Teams"),
    ("Spotify/", "Spotify"),
    ("Viber", "Viber"),
    ("SkypeUriPreview", "Skype"),
    ("Skype", "Skype"),
    ("Outlook-iOS", "Outlook"),
    ("Outlook-Android", "Outlook"),
    ("Microsoft Outlook", "Outlook"),
    ("Microsoft Office Outlook", "Outlook"),
    ("MSOffice", "Outlook"),
    ("BingSapphire/", "Bing"),
    ("Zalo ", "Zalo"),
    ("GSA/", "Google"),
];

/// Browsers, those that name others in their headers before them.
const BROWSERS: Marks = &[
    ("UCBrowser", "UC Browser"),
    ("UC Browser", "UC Browser"),
    ("UCWEB", "UC Browser"),
    ("UBrowser/", "UC Browser"),
    ("UCMobile/", "UC Browser"),
    ("Opera Mini", "Opera Mini"),
    ("OPiOS/", "Opera Mini"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("Edg/", "Edge"),
    ("EdgW/", "Edge"),
    ("Edge/", "Edge"),
    ("Edition GX", "Opera GX"),
    ("OPR/", "Opera"),
    ("OPX/", "Opera GX"),
    ("OPT/", "Opera Touch"),
    ("Opera/", "Opera"),
    ("Opera ", "Opera"),
    ("YaBrowser/", "Yandex"),
    ("YaApp", "Yandex"),
    ("YaSearch", "Yandex"),
    ("OculusBrowser/", "Meta Quest Browser"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("HuaweiBrowser/", "Huawei Browser"),
    ("HonorBrowser/", "Honor Browser"),
    ("bdhonorbrowser/", "Honor Browser"),
    ("MiuiBrowser/", "Mi Browser"),
    ("HeyTapBrowser/", "HeyTap Browser"),
    ("VivoBrowser/", "Vivo Browser"),
    ("MQQBrowser/", "QQ Browser"),
    ("QQBrowser", "QQ Browser"),
    ("baidubrowser", "Baidu Browser"),
    ("baiduboxapp/", "Baidu"),
    ("FlyFlow/", "Baidu"),
    ("BIDUBrowser", "Baidu Browser"),
    ("Whale/", "Whale"),
    ("Silk/", "Silk"),
    ("Brave", "Brave"),
    ("brave", "Brave"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("Vivaldi/", "Vivaldi"),
    ("Ecosia", "Ecosia"),
    ("PHX/", "Phoenix Browser"),
    ("SznProhlizec/", "Seznam"),
    ("Sleipnir", "Sleipnir"),
    ("Iron", "Iron"),
    ("Midori/", "Midori"),
    ("Falkon/", "Falkon"),
    ("Ladybird/", "Ladybird"),
    ("coc_coc_browser/", "Cốc Cốc"),
    ("Avast/", "Avast Secure Browser"),
    ("AvastSecureBrowser/", "Avast Secure Browser"),
    ("AlohaBrowser/", "Aloha"),
    ("ABB/", "Aloha"),
    ("Puffin/", "Puffin"),
    ("Maxthon", "Maxthon"),
    ("MxBrowser/", "Maxthon"),
    ("Focus/", "Firefox Focus"),
    ("Klar/", "Firefox Focus"),
    ("SeaMonkey/", "SeaMonkey"),
    ("PaleMoon/", "Pale Moon"),
    ("LibreWolf/", "LibreWolf"),
    ("Arc/", "Arc"),
    ("Waterfox/", "Waterfox"),
    ("Thunderbird/", "Thunderbird"),
    ("Konqueror/", "Konqueror"),
    ("Epiphany/", "GNOME Web"),
    ("Lynx/", "Lynx"),
    ("Code/", "Visual Studio Code"),
    ("Electron/", "Electron"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("Fennec/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("CrMo/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("MSIE", "Internet Explorer"),
    ("Trident/", "Internet Explorer"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];

/// Libraries by which apps ask servers.
const LIBRARIES: Marks = &[("CFNetwork", "CFNetwork"), ("okhttp", "okhttp"), ("Dart/", "Dart")];

/// Libraries of scripts and services, and programs of a command line.
const SCRIPTS: Marks = &[
    ("python-requests/", "python-requests"),
    ("python-httpx/", "python-httpx"),
    ("Python-urllib/", "Python-urllib"),
    ("aiohttp/", "aiohttp"),
    ("axios/", "axios"),
    ("node-fetch", "node-fetch"),
    ("Go-http-client/", "Go-http-client"),
    ("Apache-HttpClient/", "Apache-HttpClient"),
    ("Java/", "Java"),
    ("Java-http-client/", "Java"),
    ("reqwest/", "reqwest"),
    ("GuzzleHttp/", "Guzzle"),
    ("libwww-perl/", "libwww-perl"),
    ("Ruby", "Ruby"),
    ("Faraday", "Faraday"),
    ("undici", "undici"),
    ("node", "Node.js"),
    ("Deno/", "Deno"),
    ("Bun/", "Bun"),
    ("ktor-client", "Ktor"),
    ("Ktor client", "Ktor"),
    ("RestSharp/", "RestSharp"),
    ("HTTPie/", "HTTPie"),
    ("insomnia/", "Insomnia"),
    ("PostmanRuntime/", "Postman"),
    ("bruno-runtime/", "Bruno"),
    ("WindowsPowerShell/", "PowerShell"),
    ("PowerShell/", "PowerShell"),
    ("hyper/", "hyper"),
    ("ureq/", "ureq"),
    ("httpx.rb/", "httpx"),
    ("Wget2/", "Wget"),
    ("curl/", "curl"),
    ("Wget/", "Wget"),
];

/// Systems, those that name others in their headers before them.
const SYSTEMS: Marks = &[
    ("Windows Phone", "Windows Phone"),
    ("wds ", "Windows Phone"),
    ("Xbox", "Xbox"),
    ("PlayStation", "PlayStation"),
    ("PLAYSTATION", "PlayStation"),
    ("Nintendo Switch", "Nintendo Switch"),
    ("Nintendo WiiU", "Wii U"),
    ("Nintendo Wii", "Wii"),
    ("Nintendo 3DS", "Nintendo 3DS"),
    ("Nintendo DS", "Nintendo DS"),
    ("AppleTV", "tvOS"),
    ("Apple TV", "tvOS"),
    ("tvOS", "tvOS"),
    ("watchOS", "watchOS"),
    ("Apple Watch", "watchOS"),
    ("Tizen", "Tizen"),
    ("Web0S", "webOS"),
    ("webOS", "webOS"),
    ("CrKey/", "Chromecast"),
    ("Roku", "Roku"),
    ("KAIOS/", "KaiOS"),
    ("KaiOS/", "KaiOS"),
    ("HarmonyOS", "HarmonyOS"),
    ("OpenHarmony", "HarmonyOS"),
    ("Kindle/", "Kindle"),
    ("Kindle Paperwhite", "Kindle"),
    ("Kobo ", "Kobo"),
    ("Android", "Android"),
    ("Adr ", "Android"),
    ("JUC", "Android"),
    ("iPad", "iPadOS"),
    ("iPhone", "iOS"),
    ("iPod", "iOS"),
    ("iOS", "iOS"),
    // Their headers name Linux, or macOS where the desktop's page is asked for.
    ("Silk/", "Android"),
    ("OculusBrowser/", "Android"),
    ("CriOS/", "iPadOS"),
    ("FxiOS/", "iPadOS"),
    ("EdgiOS/", "iPadOS"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Win98", "Windows"),
    ("Win95", "Windows"),
    ("WinNT", "Windows"),
    ("Win32", "Windows"),
    ("Mac OS X", "macOS"),
    ("macOS", "macOS"),
    ("Macintosh", "macOS"),
    ("Mac_PowerPC", "macOS"),
    ("FreeBSD", "FreeBSD"),
    ("OpenBSD", "OpenBSD"),
    ("NetBSD", "NetBSD"),
    ("SunOS", "Solaris"),
    ("Linux", "Linux"),
    ("linux", "Linux"),
    ("Ubuntu", "Linux"),
];

/// What only televisions, and the boxes and sticks that are plugged into them, say.
const TELEVISIONS: Marks = &[
    ("SMART-TV", "TV"),
    ("SmartTV", "TV"),
    ("Smart-TV", "TV"),
    ("Smart TV", "TV"),
    ("HbbTV", "TV"),
    ("GoogleTV", "TV"),
    ("Google TV", "TV"),
    ("Android TV", "TV"),
    ("AndroidTV", "TV"),
    ("; AFT", "TV"),
    ("BRAVIA", "TV"),
    ("NetCast", "TV"),
    ("Large Screen", "TV"),
    ("VIDAA", "TV"),
    ("VIERA", "TV"),
    ("PHILIPSTV", "TV"),
    ("MiTV", "TV"),
    ("DTV", "TV"),
    ("OMI/", "TV"),
];

/// What users call a television, or what is plugged into it.
const TELEVISION_NAMES: Marks = &[
    ("; AFT", "Fire TV"),
    ("AppleTV", "Apple TV"),
    ("Apple TV", "Apple TV"),
    ("tvOS", "Apple TV"),
    ("Roku", "Roku"),
    ("CrKey/", "Chromecast"),
    ("Tizen", "Samsung TV"),
    ("Maple", "Samsung TV"),
    ("Samsung", "Samsung TV"),
    ("Web0S", "LG TV"),
    ("webOS", "LG TV"),
    ("NetCast", "LG TV"),
    ("BRAVIA", "Sony TV"),
    ("Sony", "Sony TV"),
    ("VIERA", "Panasonic TV"),
    ("PHILIPSTV", "Philips TV"),
    ("Philips", "Philips TV"),
    ("VIDAA", "Hisense TV"),
    ("GoogleTV", "Google TV"),
    ("Google TV", "Google TV"),
    ("Android", "Android TV"),
];

/// What users call a console whose header says which one it is.
const CONSOLE_NAMES: Marks = &[
    ("Nintendo Switch 2", "Nintendo Switch 2"),
    ("PlayStation 5", "PlayStation 5"),
    ("PlayStation 4", "PlayStation 4"),
    ("PlayStation 3", "PlayStation 3"),
    ("PLAYSTATION 3", "PlayStation 3"),
    ("PlayStation Vita", "PlayStation Vita"),
    ("PlayStation Portable", "PSP"),
];

/// What phones say, and some tablets.
const HANDHELDS: Marks =
    &[("Mobile", "Mobile"), ("Phone", "Phone"), ("Opera Mini", "Mobile"), ("Opera Mobi", "Mobile")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_stand_where_their_names_say() {
        for (at, (table, marks)) in ALL.into_iter().enumerate() {
            assert_eq!((table as usize, table.marks()), (at, marks));
        }
        assert_eq!(Table::Handhelds as usize, ALL.len() - 1);
    }
}
