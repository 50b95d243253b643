//! What a request does, and what is known of its messages and values as its operations return.

use session_core::{CookieSession, CsrfToken, Flash, FlashLevel, FlashMessage, SignIn};

use crate::random::{Jar, dropped_after};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Push,
    Take,
    /// Two at once on one handle.
    TakeTwice,
    /// Sets a value of its own.
    Mark,
    /// Puts a CSRF token into the page.
    Token,
    Save,
    Reload,
    Rotate,
    RotateStrict,
    Keep,
    SignIn,
    Logout,
}

/// How the handler of a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Status(u16),
    /// The handler is dropped.
    Dropped,
    /// The commit is dropped after so many polls.
    CommitDropped(usize),
}

/// What became of a request.
#[derive(Debug)]
pub(super) struct Report {
    /// Operations that were given up have no outcome.
    pub(super) ops: Vec<(Op, Option<Result<(), u16>>)>,
    #[expect(dead_code, reason = "shown where a round fails")]
    pub(super) end: End,
    /// The status of the answer, if there was one.
    pub(super) status: Option<u16>,
    pub(super) pushed: Vec<(String, Known)>,
    pub(super) marks: Vec<(String, Known)>,
    /// What each `take` gave.
    pub(super) taken: Vec<Vec<String>>,
    /// The CSRF tokens of the page, and the session's id.
    pub(super) tokens: Vec<(String, String)>,
    /// The browser's cookie after the response.
    pub(super) jar: Jar,
}

impl Report {
    /// Whether a browser saw a page.
    pub(super) fn is_shown(&self) -> bool {
        self.status.is_some_and(|status| status < 500)
    }

    pub(super) fn count(&self, op: Op) -> usize {
        self.ops.iter().filter(|(done, _)| *done == op).count()
    }

    /// Whether it has ended a session whose messages aren't taken along, or may have.
    pub(super) fn destroys(&self, begins: Begins) -> bool {
        let is_user = begins == Begins::User;
        self.count(Op::SignIn) + self.count(Op::Logout) + self.count(Op::RotateStrict) > 0
            || self.ops.iter().any(|(op, done)| *op == Op::Keep && (is_user || *done != Some(Ok(()))))
    }

    /// Whether messages were taken out of the row and are to be put back.
    pub(super) fn gives_back(&self) -> bool {
        let is_given_up = |(op, done): &(Op, Option<Result<(), u16>>)| {
            matches!(op, Op::Take | Op::TakeTwice) && *done != Some(Ok(()))
        };
        !self.is_shown() || self.ops.iter().any(is_given_up)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// In memory only.
    Pending,
    /// Stored or not.
    Unknown,
    /// Taken by the very request, which shows it or drops it.
    Taken,
    /// Stored, or shown.
    Stored,
    /// Dropped for good, and nothing was asked to store it.
    Dropped,
}

/// What the browser is at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    Stranger,
    Visitor,
    User,
}

pub(super) type Outcome = Option<Result<(), u16>>;

pub(super) async fn run(
    op: Op,
    session: &CookieSession,
    user: &str,
    name: &str,
    polls: [usize; 2],
    taken: &mut Vec<Vec<String>>,
) -> Outcome {
    let take = |polls: usize| {
        let flash = Flash::of(session);
        dropped_after(polls, async move { flash.take().await })
    };
    let mut noted = |taken_now: Option<session_core::Result<Vec<FlashMessage>>>| -> Outcome {
        taken_now.map(|outcome| {
            let messages = outcome.map_err(|error| error.status())?;
            taken.push(messages.into_iter().map(|message| message.text).collect());
            Ok(())
        })
    };
    match op {
        Op::Take => return noted(take(polls[0]).await),
        Op::TakeTwice => {
            let (one, other) = futures_util::future::join(take(polls[0]), take(polls[1])).await;
            let (one, other) = (noted(one), noted(other));
            return match (one, other) {
                (Some(Ok(())), other) => other,
                (one, Some(Ok(()))) => one,
                (Some(Err(status)), _) | (_, Some(Err(status))) => Some(Err(status)),
                (None, None) => None,
            };
        }
        _ => {}
    }
    let done = dropped_after(polls[0], async {
        match op {
            Op::Push => Flash::of(session).push(FlashLevel::Info, name),
            Op::Mark => session.set(name, &1),
            Op::Save => session.save().await,
            Op::Reload => session.reload().await,
            Op::Rotate => session.rotate().await,
            Op::RotateStrict => session.rotate_strict().await,
            Op::Keep => session.authenticate_opts(user, SignIn::new().keep_all()).await,
            Op::SignIn => session.authenticate(user).await,
            Op::Logout => session.logout().await,
            Op::Take | Op::TakeTwice | Op::Token => unreachable!("see above"),
        }
    });
    done.await.map(|done| done.map_err(|error| error.status()))
}

/// What is known of a request's messages and values as its operations return.
#[derive(Default)]
pub(super) struct Course {
    /// Whether the request was neither a user's nor a visitor's at first.
    pub(super) is_stranger: bool,
    pub(super) ops: Vec<(Op, Outcome)>,
    pub(super) pushed: Vec<(String, Known)>,
    pub(super) marks: Vec<(String, Known)>,
    pub(super) taken: Vec<Vec<String>>,
    pub(super) tokens: Vec<(String, String)>,
}

pub(super) fn id_of(session: &CookieSession) -> Option<String> {
    session.current().map(|current| current.id).or_else(|| session.visitor_id())
}

impl Course {
    pub(super) fn token(&mut self, session: &CookieSession) -> Outcome {
        let token = CsrfToken::of(session).map_err(|error| error.status());
        Some(token.map(|token| {
            let text = token.as_str().to_owned();
            self.tokens.push((text, id_of(session).expect("a token has a session")));
        }))
    }

    pub(super) fn turn(&mut self, to: Known) {
        for (_, known) in self.pushed.iter_mut().chain(&mut self.marks).filter(|(_, known)| *known == Known::Pending) {
            *known = to;
        }
    }

    pub(super) fn note(&mut self, op: Op, outcome: Outcome, name: String) {
        self.ops.push((op, outcome));
        if matches!(op, Op::Keep | Op::SignIn | Op::Logout) {
            self.tokens.clear();
        }
        let taken = &self.taken;
        let is_taken = |name: &String| taken.iter().flatten().any(|taken| taken == name);
        for (_, known) in self.pushed.iter_mut().filter(|(name, known)| *known == Known::Pending && is_taken(name)) {
            *known = Known::Taken;
        }
        match (op, outcome) {
            (Op::Push, Some(Ok(()))) => self.pushed.push((name, Known::Pending)),
            (Op::Mark, Some(Ok(()))) => self.marks.push((name, Known::Pending)),
            (Op::Save | Op::Keep, Some(Ok(()))) => self.turn(Known::Stored),
            // Refused, given up, or lost for good among the changes of others (DATA-16).
            (Op::Save | Op::Keep | Op::SignIn | Op::Logout, _)
            | (Op::Reload | Op::Take | Op::TakeTwice, Some(Err(503))) => self.turn(Known::Unknown),
            _ => {}
        }
    }

    pub(super) fn report(mut self, end: End, status: Option<u16>, jar: Jar) -> Report {
        let stores = |(op, _): &(Op, Outcome)| matches!(op, Op::Save | Op::Keep | Op::SignIn | Op::Logout);
        let has_stored = self.ops.iter().any(stores);
        let becomes = match (end, status) {
            (End::Status(_) | End::CommitDropped(_), Some(200 | 303)) => Known::Stored,
            (End::Status(500) | End::Dropped, _) if !has_stored => Known::Dropped,
            _ => Known::Unknown,
        };
        self.turn(becomes);
        let is_shown = status.is_some_and(|status| status < 500);
        for (_, known) in self.pushed.iter_mut().chain(&mut self.marks) {
            *known = match *known {
                Known::Taken if is_shown => Known::Stored,
                Known::Taken => Known::Dropped,
                // The row of a visitor who was sent no cookie ends.
                Known::Stored if status.is_none() && self.is_stranger => Known::Unknown,
                known => known,
            };
        }
        let Self { ops, pushed, marks, taken, tokens, .. } = self;
        Report { ops, end, status, pushed, marks, taken, tokens, jar }
    }
}
