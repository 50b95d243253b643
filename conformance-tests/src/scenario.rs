//! What a scenario is: one behaviour of a clause, proved in a world of its own. Not here: how it
//! becomes a trial, see `suite`.

use crate::BoxFuture;
use crate::world::World;

/// One behaviour, proved through HTTP. A panic is a failure.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// The clause that it proves.
    pub clause: &'static str,
    /// What it shows, in words that can be typed: ASCII without a slash.
    pub name: &'static str,
    /// Runs it in a world of its own.
    pub run: fn(World) -> BoxFuture<'static, ()>,
}

/// A [`Scenario`] of a clause, a name and an `async fn(World)`.
macro_rules! scenario {
    ($clause:literal, $name:literal, $run:expr $(,)?) => {
        $crate::scenario::Scenario { clause: $clause, name: $name, run: |world| ::std::boxed::Box::pin($run(world)) }
    };
}
pub(crate) use scenario;
