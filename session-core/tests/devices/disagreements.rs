//! Where we call something else than the corpus does, and why.

/// Theirs, ours, what the agents have in common, and the reason.
pub(crate) type Disagreement = (&'static str, &'static str, &'static str, &'static str);

const AN_APP: &str = "an app that shows pages itself, which we name";
const A_BROWSER: &str = "another browser, which we name";
const NO_BROWSER: &str = "Safari doesn't run on Android: this is the browser that Android had before Chrome";
const SAMSUNGS: &str = "the browser of Samsung's phones of 2013, and no app";
const NO_BLANKS: &str = "a gateway took out the blanks that part the words";
const AT_A_WORD: &str = "we look for marks where a word begins";
const AN_OLD_FORK: &str = "a form that no browser has sent for ten years";
const APPLES_HELPER: &str = "Safari's helper, which asks by Apple's library and shows no page";
const A_FETCHER: &str = "it links to a page on which it explains itself, as robots do";

pub(crate) const OF_BROWSERS: &[Disagreement] = &[
    ("Android", "VK", "VKAndroidApp/", AN_APP),
    ("Android", "Naver", "NAVER(inapp", AN_APP),
    ("Chrome Mobile WebView", "Zalo", "Zalo android/", AN_APP),
    ("Android", "Baidu", "baiduboxapp/", AN_APP),
    ("Android", "Maxthon", "Maxthon", A_BROWSER),
    ("Chrome Mobile WebView", "Chrome", "; SAMSUNG", SAMSUNGS),
    ("Chrome Mobile WebView", "Chrome", ", SAMSUNG", SAMSUNGS),
    ("Chrome Mobile WebView", "Chrome", "SM-G850F", SAMSUNGS),
    ("Safari", "Android Browser", "Lenovo", NO_BROWSER),
    ("Safari", "Android Browser", "Android GFIVE", NO_BROWSER),
    ("Safari", "Android Browser", "AIRIS-OnePAD", NO_BROWSER),
    ("Safari", "App", "KHTML,likeGecko)Version/4.0MobileSafari", NO_BLANKS),
    (
        "Mobile Safari",
        "App",
        "Mobile/8H7 Safari",
        "Safari says its version: an app that only claims to be Safari doesn't",
    ),
    ("Safari", "CFNetwork", "Darwin/", APPLES_HELPER),
    ("Firefox", "", "xFirefox/", AT_A_WORD),
    ("Firefox Beta", "", "Firefox-4.0/4.0b8pre", AN_OLD_FORK),
    (
        "IE",
        "Firefox",
        "rv:11.0) like Gecko/20100101 Firefox/12.0",
        "it claims to be both, and only Firefox has a version",
    ),
    ("Java", "", "ICEbrowser/", "a browser that ran in Java"),
    ("Konqueror", "Safari", "konqueror/4.3.1", AN_OLD_FORK),
    ("Pinterest", "Bot", "(+http://www.pinterest.com/)", A_FETCHER),
    ("Pinterestbot", "Bot", "(+https://www.pinterest.com/bot.html)", "a robot whose name isn't where its page is"),
    ("Python-urllib", "", "(Python-urllib2)", "no program of that name says that it is Mozilla"),
    ("Spotify", "", "Spotify", "a name without a version could be anything"),
];

const NO_PAGES: &str = "a program that shows no pages, and spells the system as no browser does";

pub(crate) const OF_SYSTEMS: &[Disagreement] = &[
    ("Android", "", "AncestryAndroid/", AT_A_WORD),
    ("Android", "", "SalesforceMobileSDK/", NO_PAGES),
    ("CentOS", "", "X11; 78; CentOS", AN_OLD_FORK),
    ("Chrome OS", "Windows", "CitrixChromeApp", "it says Windows, to be given the pages for Windows"),
    ("Debian", "", "Debian APT-HTTP/", NO_PAGES),
    ("FreeBSD", "", "(freebsd", NO_PAGES),
    ("Linux", "Android", "Adr", "`Adr` is Android, as UC Browser and QQ Browser write it"),
    ("Mac OS X", "", "os/macos", NO_PAGES),
    ("Mac OS X", "", "darwin; arm64", NO_PAGES),
    ("Red Hat", "", "(Red Hat modified)", NO_PAGES),
    ("Windows", "", "Win16", AN_OLD_FORK),
    ("Windows", "", "Win3.11", AN_OLD_FORK),
    ("Windows", "", "Win72", "a joke"),
    ("Windows", "", "PIAWindows/", AT_A_WORD),
    ("Windows", "Xbox", "XboxStore.com", "a toolbar of 2004, whose name begins as the console's does"),
    ("Windows Phone", "Windows", "ZuneWP7", "the page for desktops was asked for, and the rest of the agent says so"),
    ("iOS", "Android", "Outlook-iOS-Android", "Outlook's own name has both, and Android's is looked for first"),
    ("iOS", "watchOS", "(Apple Watch;", "the watch is an Apple Watch"),
    ("webOS", "Linux", "hpwOS/", "HP's tablet of 2011, which isn't LG's television"),
];
