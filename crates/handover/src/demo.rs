//! Demo.
use crate::args::DemoArgs;
use exchange::Issue;

/// Runs it.
pub async fn run(_: DemoArgs, _: bool) -> Result<u8, Issue> {
    Ok(0)
}
