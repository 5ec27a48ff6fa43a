//! Progress on standard error, where a person looks.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How long work lasts before its bar comes: less is not waiting.
const PATIENCE: Duration = Duration::from_millis(500);

/// A bar. It goes when this is dropped; Ctrl-C ends the command as ever, for nothing here waits or listens.
#[derive(Debug)]
pub struct Progress {
    /// What it looks like, as indicatif writes it.
    template: &'static str,
    begun: Instant,
    patience: Duration,
    /// Once it is there.
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A bar that comes at once.
    pub fn new(template: &'static str) -> Self {
        Self::after(Duration::ZERO, template)
    }

    /// A bar of work that may be over before anybody waits: it comes when the work has lasted.
    pub fn patient(template: &'static str) -> Self {
        Self::after(PATIENCE, template)
    }

    fn after(patience: Duration, template: &'static str) -> Self {
        Self { template, begun: Instant::now(), patience, bar: None }
    }

    /// So much of the work is done.
    pub fn set(&mut self, done: u64, all: u64) {
        if self.begun.elapsed() < self.patience || !std::io::stderr().is_terminal() {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template(self.template).expect("a template written in this program");
            let bar = ProgressBar::new(all).with_position(done).with_elapsed(self.begun.elapsed()).with_style(style);
            // What was done before the bar came says nothing of the pace.
            bar.reset_eta();
            bar
        });
        bar.set_length(all);
        bar.set_position(done);
    }

    /// Does something that prints, with the bar out of the way.
    pub fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(work),
            None => work(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
