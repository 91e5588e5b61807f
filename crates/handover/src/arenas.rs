//! Arenas: a serving house gives its threads few places to take memory from.
//!
//! Comes in   nothing; the environment's `MALLOC_ARENA_MAX` is respected where somebody set it.
//! Goes out   the same process, begun anew with the setting; where that cannot be, it goes on without.
//! Never      begins anew twice, nor after a thread was started: a C library may take its setting out of
//!            the environment of a program with rights of its own (`setcap`), so that a mark says it too.
//!
//! Why: the C library gives each busy thread an arena and gives back what is free at an arena's end only.
//! A house whose charts pass from thread to thread kept a third of its memory in holes (measured:
//! docs/PERFORMANCE.md). The C library reads the setting when a program begins, so that it must be there
//! before.

/// So many: fewer made threads wait for each other, more kept more.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: &str = "2";

/// The C library's name of it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const SETTING: &str = "MALLOC_ARENA_MAX";

/// Says that the process was begun anew.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MARK: &str = "HANDOVER_FEW_ARENAS";

/// Begins the process anew with few arenas, where it has not been told how many.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn in_few() {
    use std::os::unix::process::CommandExt;
    if [SETTING, MARK].iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    let mut words = std::env::args_os();
    let (Some(name), Ok(program)) = (words.next(), std::env::current_exe()) else { return };
    // It comes back only where it could not be done; then the house is only larger.
    let mut anew = std::process::Command::new(program);
    let _ = anew.arg0(name).args(words).env(SETTING, ARENAS).env(MARK, "1").exec();
}

/// Other C libraries have no such setting.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn in_few() {}
