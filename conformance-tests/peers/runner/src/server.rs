//! One server under test, and a browser that talks to it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reqwest::Client;
use reqwest::header::{COOKIE, SET_COOKIE, USER_AGENT};

use crate::Outcome;

pub const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0";

pub struct Server {
    child: Child,
    /// What it was told to keep sessions in.
    pub store: String,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
}

impl Server {
    /// Starts it, and waits until it listens.
    pub fn start(folder: &Path, program: &str, store: &str, connections: Option<u32>) -> Outcome<Self> {
        let mut command = Command::new(folder.join(program));
        command.arg(store).stdout(Stdio::piped()).stderr(Stdio::null());
        if let Some(connections) = connections {
            command.env("CONNECTIONS", connections.to_string());
        }
        let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let Some(address) = line.trim().strip_prefix("listening ") else {
            child.kill()?;
            return Err(format!("{program} {store} doesn't listen").into());
        };
        Ok(Self { child, store: store.to_owned(), url: format!("http://{address}") })
    }

    /// Hundredths of a second of both cores that it has used.
    pub fn ticks(&self) -> Outcome<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended needs no end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The cookie of a browser, as the responses that have arrived so far left it.
#[derive(Clone, Default)]
pub struct Browser {
    pub cookie: Option<String>,
}

pub struct Response {
    pub status: u16,
    pub body: String,
    set_cookies: Vec<String>,
}

/// Asks with a cookie, and leaves the browser's as it is.
pub async fn ask(client: &Client, url: &str, cookie: Option<&str>) -> Outcome<Response> {
    let mut request = client.get(url).header(USER_AGENT, AGENT);
    if let Some(cookie) = cookie {
        request = request.header(COOKIE, cookie);
    }
    let response = request.send().await?;
    let lines = response.headers().get_all(SET_COOKIE).iter();
    let set_cookies = lines.map(|line| line.to_str().map(str::to_owned)).collect::<Result<_, _>>()?;
    Ok(Response { status: response.status().as_u16(), body: response.text().await?, set_cookies })
}

impl Browser {
    pub async fn get(&mut self, client: &Client, url: &str) -> Outcome<Response> {
        let response = ask(client, url, self.cookie.as_deref()).await?;
        self.receive(&response);
        Ok(response)
    }

    /// Keeps, replaces or removes its cookies by name, as browsers do.
    pub fn receive(&mut self, response: &Response) {
        for line in &response.set_cookies {
            let mut kept: Vec<String> = self.cookie.iter().flat_map(|all| all.split("; ")).map(str::to_owned).collect();
            let pair = line.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            kept.retain(|other| other.split('=').next() != Some(name));
            let lower = line.to_ascii_lowercase();
            let is_removed = lower.contains("max-age=0") || lower.contains("max-age=-") || value.is_empty();
            if !is_removed {
                kept.push(pair.to_owned());
            }
            self.cookie = (!kept.is_empty()).then(|| kept.join("; "));
        }
    }
}
