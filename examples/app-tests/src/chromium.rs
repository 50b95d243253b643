//! Chromium without a window, driven through WebDriver: each profile is a browser of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

pub use fantoccini::Locator;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tempfile::TempDir;

/// What isn't on this machine, if anything.
pub fn missing() -> Option<&'static str> {
    ["chromium", "chromedriver"].into_iter().find_map(|program| {
        let here = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        (!here.is_ok_and(|status| status.success())).then_some(match program {
            "chromium" => "there is no `chromium` here",
            _ => "there is no `chromedriver` here",
        })
    })
}

/// A WebDriver server that runs until it is dropped.
pub struct Driver {
    process: Child,
    url: String,
}

impl Driver {
    /// Starts it on a port that the system chooses.
    ///
    /// # Panics
    /// If it doesn't start.
    pub fn start() -> Self {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("chromedriver starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let port = lines.find_map(|line| {
            let line = line.ok()?;
            let port = line.strip_prefix("ChromeDriver was started successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        std::thread::spawn(move || lines.for_each(drop));
        let url = format!("http://127.0.0.1:{}", port.expect("chromedriver says its port"));
        Self { process, url }
    }

    /// A new browser with an empty profile, of this size in pixels.
    pub async fn profile(&self, width: u32, height: u32, user_agent: Option<&str>) -> Profile {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".into(),
            "--disable-gpu".into(),
            "--disable-dev-shm-usage".into(),
            // Nothing but the app is there to talk to.
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            "--disable-sync".into(),
            "--disable-quic".into(),
            "--no-first-run".into(),
            "--force-color-profile=srgb".into(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", folder.path().display()),
        ];
        arguments.extend(user_agent.map(|text| format!("--user-agent={text}")));
        let mut capabilities = serde_json::Map::new();
        let options = json!({
            "args": arguments,
            "mobileEmulation": user_agent.map(|text| json!({
                "deviceMetrics": {"width": width, "height": height, "pixelRatio": 2.0, "touch": true},
                "userAgent": text,
            })),
        });
        let options = options.as_object().expect("made above").iter().filter(|(_, value)| !value.is_null());
        let options: serde_json::Map<_, _> = options.map(|(name, value)| (name.clone(), value.clone())).collect();
        capabilities.insert("goog:chromeOptions".to_owned(), options.into());
        let client = ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(&self.url).await;
        Profile { client: client.expect("a browser starts"), _folder: folder }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended before.
        if self.process.kill().is_ok() {
            self.process.wait().expect("a process that was killed ends");
        }
    }
}

/// One browser.
pub struct Profile {
    /// Its WebDriver client.
    pub client: Client,
    _folder: TempDir,
}

impl Profile {
    /// Opens an address, and returns the one it ends at.
    pub async fn open(&self, url: &str) -> String {
        self.client.goto(url).await.expect("an address that opens");
        self.path().await
    }

    /// The path of the page that is shown.
    pub async fn path(&self) -> String {
        self.client.current_url().await.expect("a page").path().to_owned()
    }

    /// Clicks what a CSS selector names, and waits for the page that follows to have loaded.
    pub async fn click(&self, selector: &str) {
        self.mark().await;
        self.client.find(Locator::Css(selector)).await.expect(selector).click().await.expect("it can be clicked");
        self.another_page().await;
    }

    /// Marks the page that is shown, for [`another_page`](Self::another_page).
    pub async fn mark(&self) {
        let mark = "document.documentElement.dataset.left = '1'";
        self.client.execute(mark, Vec::new()).await.expect("a page");
    }

    /// Waits until a page has loaded that isn't the marked one.
    pub async fn another_page(&self) {
        self.client.wait().for_element(Locator::Css("html:not([data-left]) main")).await.expect("another page");
    }

    /// Types into the field of this name.
    pub async fn fill(&self, name: &str, text: &str) {
        let field = self.client.find(Locator::Css(&format!("[name={name}]"))).await.expect(name);
        field.send_keys(text).await.expect("a field to type into");
    }

    /// The text of the first element.
    pub async fn text(&self, selector: &str) -> String {
        self.client.find(Locator::Css(selector)).await.expect(selector).text().await.expect("text")
    }

    /// How many elements there are.
    pub async fn count(&self, selector: &str) -> usize {
        self.client.find_all(Locator::Css(selector)).await.expect("a page").len()
    }
}
