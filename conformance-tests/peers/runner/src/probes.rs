//! How sessions behave when requests cross each other, and when the store fails.

use std::time::Duration;

use reqwest::Client;

use crate::Outcome;
use crate::server::{Browser, ask};

/// In how many rounds what should not happen did.
pub struct Probed {
    pub rounds: u32,
    /// Two requests at once set different keys, and one is missing; with 0 and with 5 ms between reading and setting.
    pub lost: [u32; 2],
    /// A slow write crosses a sign-out, and somebody is signed in after it.
    pub revived: u32,
    /// A slow write with the old cookie crosses a rotation, or a read with it comes late, and the browser is signed out.
    pub wiped: [u32; 2],
}

pub async fn probe(url: &str, rounds: u32) -> Outcome<Probed> {
    let client = Client::new();
    let mut probed = Probed { rounds, lost: [0; 2], revived: 0, wiped: [0; 2] };
    for round in 0..rounds {
        for (case, before) in [0, 5].into_iter().enumerate() {
            probed.lost[case] += u32::from(loses_a_key(&client, url, &format!("lost-{before}-{round}"), before).await?);
        }
        probed.revived += u32::from(is_revived(&client, url, &format!("revived-{round}")).await?);
        probed.wiped[0] += u32::from(is_wiped_by_slow(&client, url, &format!("slow-{round}")).await?);
        probed.wiped[1] += u32::from(is_wiped_by_late(&client, url, &format!("late-{round}")).await?);
    }
    Ok(probed)
}

pub async fn signed_in(client: &Client, url: &str, user: &str) -> Outcome<Browser> {
    let mut browser = Browser::default();
    let response = browser.get(client, &format!("{url}/login?user={user}")).await?;
    match browser.cookie {
        Some(_) if response.status == 200 => Ok(browser),
        _ => Err(format!("no sign-in: {}", response.status).into()),
    }
}

async fn loses_a_key(client: &Client, url: &str, user: &str, before: u64) -> Outcome<bool> {
    let mut browser = signed_in(client, url, user).await?;
    let cookie = browser.cookie.clone();
    let set = |key: &str| format!("{url}/set?key={key}&before={before}&after=0");
    let (a, b) = (set("a"), set("b"));
    let (mut a, mut b) = (Box::pin(ask(client, &a, cookie.as_deref())), Box::pin(ask(client, &b, cookie.as_deref())));
    // As a browser takes them: one after the other, as they arrive.
    tokio::select! {
        first = &mut a => { browser.receive(&first?); browser.receive(&b.await?); }
        first = &mut b => { browser.receive(&first?); browser.receive(&a.await?); }
    }
    let keys = browser.get(client, &format!("{url}/keys")).await?.body;
    Ok(keys != "a,b")
}

async fn is_revived(client: &Client, url: &str, user: &str) -> Outcome<bool> {
    let mut browser = signed_in(client, url, user).await?;
    let cookie = browser.cookie.clone();
    let slow = format!("{url}/set?key=a&before=10&after=0");
    let slow = ask(client, &slow, cookie.as_deref());
    let out = async {
        tokio::time::sleep(Duration::from_millis(3)).await;
        ask(client, &format!("{url}/logout"), cookie.as_deref()).await
    };
    let (slow, out) = tokio::join!(slow, out);
    browser.receive(&out?);
    browser.receive(&slow?);
    let mut is_in = browser.get(client, &format!("{url}/keys")).await?.body != "out";
    // Whoever has a copy of the cookie that signed out.
    is_in |= ask(client, &format!("{url}/keys"), cookie.as_deref()).await?.body != "out";
    Ok(is_in)
}

async fn is_wiped_by_slow(client: &Client, url: &str, user: &str) -> Outcome<bool> {
    let mut browser = signed_in(client, url, user).await?;
    let old = browser.cookie.clone();
    let slow = format!("{url}/set?key=a&before=10&after=0");
    let slow = ask(client, &slow, old.as_deref());
    let rotated = async {
        tokio::time::sleep(Duration::from_millis(3)).await;
        ask(client, &format!("{url}/rotate"), old.as_deref()).await
    };
    let (slow, rotated) = tokio::join!(slow, rotated);
    browser.receive(&rotated?);
    browser.receive(&slow?);
    Ok(browser.get(client, &format!("{url}/keys")).await?.body == "out")
}

/// By a request that was sent before the new cookie arrived.
async fn is_wiped_by_late(client: &Client, url: &str, user: &str) -> Outcome<bool> {
    let mut browser = signed_in(client, url, user).await?;
    let old = browser.cookie.clone();
    browser.get(client, &format!("{url}/rotate")).await?;
    let late = ask(client, &format!("{url}/read"), old.as_deref()).await?;
    browser.receive(&late);
    Ok(browser.get(client, &format!("{url}/keys")).await?.body == "out")
}
