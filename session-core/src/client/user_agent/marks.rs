//! The marks by which the rules name things. The first mark of a table that is found names the
//! family, so the order counts: a page inside an app is shown by the system's browser, whose name
//! its header has too; Edge's header names Chrome, Chrome's names Safari, and Android's Linux.

use std::sync::OnceLock;

use aho_corasick::AhoCorasick;

/// Marks, and the family that each shows.
pub(super) struct Table {
    pub(super) marks: &'static [(&'static str, &'static str)],
    /// Finds all of them in one pass.
    finder: OnceLock<AhoCorasick>,
}

impl Table {
    const fn new(marks: &'static [(&'static str, &'static str)]) -> Self {
        Self { marks, finder: OnceLock::new() }
    }

    /// The family of the first mark of the table that is found where a word begins, so that `Line/`
    /// isn't found in `Online/`.
    pub(super) fn first(&self, user_agent: &str) -> Option<&'static str> {
        let build = || AhoCorasick::new(self.marks.iter().map(|(mark, _)| mark)).expect("a few hundred short marks");
        let text = user_agent.as_bytes();
        let begins_word =
            |at: usize| at == 0 || !text[at - 1].is_ascii_alphanumeric() || !text[at].is_ascii_alphanumeric();
        let found = self.finder.get_or_init(build).find_overlapping_iter(text);
        let at = found.filter(|found| begins_word(found.start())).map(|found| found.pattern().as_usize()).min()?;
        Some(self.marks[at].1)
    }
}

/// Robots that are known by a name. Others are found by `BOT_WORDS`.
pub(super) static BOTS: Table = Table::new(&[
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
]);

/// What the name of a robot ends in, in any case.
pub(super) const BOT_WORDS: [&str; 6] = ["bot", "spider", "crawler", "crawl", "slurp", "archiver"];

/// Apps that show pages themselves.
pub(super) static APPS: Table = Table::new(&[
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
]);

/// Browsers, those that name others in their headers before them.
pub(super) static BROWSERS: Table = Table::new(&[
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
    ("Waterfox/", "Waterfox"),
    ("Thunderbird/", "Thunderbird"),
    ("Konqueror/", "Konqueror"),
    ("Epiphany/", "GNOME Web"),
    ("Lynx/", "Lynx"),
    ("Electron/", "Electron"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("Fennec/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("CrMo/", "Chrome"),
    ("HeadlessChrome", "Chrome"),
    ("Chromium/", "Chromium"),
    ("MSIE", "Internet Explorer"),
    ("Trident/", "Internet Explorer"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
]);

/// Libraries by which apps ask servers.
pub(super) static LIBRARIES: Table = Table::new(&[("CFNetwork", "CFNetwork"), ("okhttp", "okhttp"), ("Dart/", "Dart")]);

/// Libraries of scripts and services, and programs of a command line.
pub(super) static SCRIPTS: Table = Table::new(&[
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
    ("curl/", "curl"),
    ("Wget/", "Wget"),
]);

/// Systems, those that name others in their headers before them.
pub(super) static SYSTEMS: Table = Table::new(&[
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
]);

/// What only televisions, and the boxes and sticks that are plugged into them, say.
pub(super) static TELEVISIONS: Table = Table::new(&[
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
]);

/// What users call a television, or what is plugged into it.
pub(super) static TELEVISION_NAMES: Table = Table::new(&[
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
]);

/// What users call a console whose header says which one it is.
pub(super) static CONSOLE_NAMES: Table = Table::new(&[
    ("PlayStation 5", "PlayStation 5"),
    ("PlayStation 4", "PlayStation 4"),
    ("PlayStation 3", "PlayStation 3"),
    ("PLAYSTATION 3", "PlayStation 3"),
    ("PlayStation Vita", "PlayStation Vita"),
    ("PlayStation Portable", "PSP"),
]);

/// What phones say, and some tablets.
pub(super) static HANDHELDS: Table =
    Table::new(&[("Mobile", "Mobile"), ("Phone", "Phone"), ("Opera Mini", "Mobile"), ("Opera Mobi", "Mobile")]);
