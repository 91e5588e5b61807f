//! Processes of the program, and what they said.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_handover");

/// A house that has not said what is waited for by then has something wrong with it.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a command said, and how it ended.
#[derive(Debug, Clone)]
pub struct Said {
    pub words: Vec<String>,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the program to its end.
pub fn run(words: &[&str], environment: &[(&str, &str)]) -> Said {
    let output = command(words, environment).stdin(Stdio::null()).output().unwrap();
    Said {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn command(words: &[&str], environment: &[(&str, &str)]) -> Command {
    command_under(&[], words, environment)
}

fn command_under(under: &[&str], words: &[&str], environment: &[(&str, &str)]) -> Command {
    let all: Vec<&str> = under.iter().copied().chain([PROGRAM]).collect();
    let mut command = Command::new(all[0]);
    command.args(&all[1..]).args(words).envs(environment.iter().copied());
    for variable in ["HANDOVER_HOUSE", "HANDOVER_HALT_AFTER"] {
        if !environment.iter().any(|(name, _)| *name == variable) {
            command.env_remove(variable);
        }
    }
    command
}

/// A house that serves. It is tethered to this process and cannot outlive it.
pub struct Process {
    child: Child,
    stdout: Stream,
    stderr: Stream,
}

/// One of its two streams, read by a thread to its end.
struct Stream {
    all: Arc<Mutex<String>>,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn read(from: impl Read + Send + 'static) -> Stream {
        let all = Arc::new(Mutex::new(String::new()));
        let (sender, lines) = channel();
        let kept = Arc::clone(&all);
        let reader = std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).into_owned();
                kept.lock().unwrap().push_str(&text);
                sender.send(text).ok();
                line.clear();
            }
        });
        Stream { all, lines, reader: Some(reader) }
    }

    /// Waits so long for a line that begins so; `Err` when none came, `None` when the stream ended.
    fn wait_at_most(&self, start: &str, patience: Duration) -> Result<Option<String>, ()> {
        let end = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.starts_with(start) => return Ok(Some(line.trim_end().to_owned())),
                Ok(_) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return Ok(None),
                Err(_) => return Err(()),
            }
        }
    }

    /// Waits for a line that begins so; `None` when the stream ended without one.
    fn wait_for(&self, start: &str) -> Option<String> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.starts_with(start) => return Some(line.trim_end().to_owned()),
                Ok(_) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(_) => panic!("no line began with {start:?} in {PATIENCE:?}"),
            }
        }
    }

    fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().ok();
        }
    }
}

impl Process {
    /// Starts `serve` in a folder and returns when its doors are open.
    pub fn serve(folder: &Path, environment: &[(&str, &str)]) -> Process {
        let words = ["--house", folder.to_str().unwrap(), "serve", "--tethered"];
        Process::until_ready(&words, environment)
    }

    /// Starts the program with these words, `--tethered` among them, and returns when it is ready.
    pub fn until_ready(words: &[&str], environment: &[(&str, &str)]) -> Process {
        let mut started = Process::start(words, environment);
        if started.stdout.wait_for("ready ").is_none() {
            let said = started.end();
            panic!("the house did not open its doors: {}\n{}", said.stdout, said.stderr);
        }
        started
    }

    /// Starts the program with these words and returns at once.
    pub fn start(words: &[&str], environment: &[(&str, &str)]) -> Process {
        Process::start_under(&[], words, environment)
    }

    /// The same under another program, such as one that writes down what it does.
    pub fn start_under(under: &[&str], words: &[&str], environment: &[(&str, &str)]) -> Process {
        let mut child = command_under(under, words, environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Stream::read(child.stdout.take().unwrap());
        let stderr = Stream::read(child.stderr.take().unwrap());
        Process { child, stdout, stderr }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether its doors open within this time: `None` when it ended before that.
    pub fn opens_within(&mut self, patience: Duration) -> Option<bool> {
        match self.stdout.wait_at_most("ready ", patience) {
            Ok(line) => line.map(|_| true),
            Err(()) => Some(false),
        }
    }

    /// Whether it is still there.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it rests at the point named by `HANDOVER_HALT_AFTER`.
    pub fn wait_halted(&mut self) {
        if self.stderr.wait_for("halted after ").is_none() {
            let said = self.end();
            panic!("the house ended before it halted: {}", said.stderr);
        }
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.all.lock().unwrap().clone()
    }

    /// Ends it as a power cut would (SIGKILL), and reaps it.
    pub fn kill(mut self) -> Said {
        self.child.kill().ok();
        self.end()
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) -> Said {
        drop(self.child.stdin.take());
        self.end()
    }

    fn end(&mut self) -> Said {
        let status = self.child.wait().unwrap();
        self.stdout.join();
        self.stderr.join();
        Said {
            words: vec!["serve".to_owned()],
            code: status.code().unwrap_or(-1),
            stdout: self.stdout.all.lock().unwrap().clone(),
            stderr: self.stderr.all.lock().unwrap().clone(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.stderr();
            let from = said.len().saturating_sub(6_000);
            let from = (from..said.len()).find(|at| said.is_char_boundary(*at)).unwrap_or(0);
            eprintln!("a house said last:\n{}", &said[from..]);
        }
        // Both do nothing when it has been reaped already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
