//! Process: a server that runs, and the shell that watches over it.
//!
//! Comes in   the command that starts it.
//! Goes out   its end, in the way that was asked for; the processor time it has used.
//! Never      ends a process that it did not start.
//!
//! Why a shell in between: a test that is killed cannot end anything any more. The shell holds the
//! other end of a pipe, which the system shuts when the test's process is gone in whatever way.

use std::fs;
use std::io::{self, BufRead, BufReader, Error, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::limits::{LOG_LINES, LOOK, PATIENCE};

/// What the program says, in its folder.
pub(crate) const LOG: &str = "server.log";

const SUPERVISE: &str = include_str!("supervise.sh");

/// Ticks in a second of what `/proc` counts processor time in: Linux never shows another number.
const TICKS: f64 = 100.0;

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Process {
    shell: Child,
    id: u32,
}

impl Process {
    /// Starts it in a folder that goes when the test does, and waits until it is `up` (which is
    /// told its process id). `signal` ends it when the test is gone.
    pub(crate) fn start(
        command: &Command,
        signal: &str,
        folder: &Path,
        up: impl Fn(u32) -> bool,
    ) -> io::Result<Process> {
        let log = folder.join(LOG);
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", SUPERVISE, "supervise"]).arg(folder).arg(&log).arg(signal);
        shell.arg(command.get_program()).args(command.get_args()).current_dir("/");
        // A group of its own: an interrupted test run ends the test, and by the pipe the server.
        shell.process_group(0);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = shell.spawn()?;
        let id = read_id(&mut shell)?;
        let process = Process { shell, id };
        let up = wait(|| up(id) || ended(id));
        if !up || ended(id) {
            return Err(Error::other(tail(&log)));
        }
        Ok(process)
    }

    /// Stops it; its folder stays.
    pub(crate) fn stop(self) -> io::Result<()> {
        self.tell("stop\n")
    }

    /// Kills it and all it started; its folder stays.
    pub(crate) fn kill(self) -> io::Result<()> {
        let others = self.others();
        let names: String = others.iter().map(|id| format!(" {id}")).collect();
        self.tell(&format!("kill{names}\n"))?;
        match wait(|| others.iter().all(|id| ended(*id))) {
            true => Ok(()),
            false => Err(Error::other("some of its processes are still there")),
        }
    }

    fn tell(mut self, word: &str) -> io::Result<()> {
        if let Some(pipe) = &mut self.shell.stdin {
            pipe.write_all(word.as_bytes())?;
        }
        let mut over = false;
        wait(|| {
            over = matches!(self.shell.try_wait(), Ok(Some(_)));
            over
        });
        over.then_some(()).ok_or_else(|| Error::other("it does not end"))
    }

    /// Processes that it has started.
    fn others(&self) -> Vec<u32> {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter(|id| stat(*id).is_some_and(|stat| stat.parent == self.id)).collect()
    }

    /// Processor time of all of it.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let own = stat(self.id).map_or(0, |stat| stat.ticks + stat.ticks_of_ended);
        let others = self.others();
        let others: u64 = others.iter().filter_map(|id| Some(stat(*id)?.ticks)).sum();
        (own + others) as f64 / TICKS
    }
}

impl Drop for Process {
    /// Shuts the pipe and waits for the end.
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

fn read_id(shell: &mut Child) -> io::Result<u32> {
    let mut line = String::new();
    if let Some(output) = shell.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    line.trim().parse().map_err(|_| Error::other("the shell does not start"))
}

fn ended(id: u32) -> bool {
    stat(id).is_none_or(|stat| stat.over)
}

/// What `/proc` says of a process.
struct Stat {
    over: bool,
    parent: u32,
    ticks: u64,
    ticks_of_ended: u64,
}

fn stat(id: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // Behind the name, which may hold anything, brackets included.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
    Some(Stat {
        over: matches!(*fields.first()?, "Z" | "X"),
        parent: u32::try_from(number(1)?).ok()?,
        ticks: number(11)? + number(12)?,
        ticks_of_ended: number(13)? + number(14)?,
    })
}

/// Looks again and again until it is so; `false` when it does not come about.
pub fn wait(mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if done() {
            return true;
        }
        std::thread::sleep(LOOK);
    }
    false
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("; ")
}
