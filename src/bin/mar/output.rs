//! What commands write. `println!` and `eprintln!` panic where the reader has gone; what is here does not.

use std::io::{self, Write};
use std::ops::ControlFlow;

/// A line on standard error. Where nobody reads it, nothing is lost.
macro_rules! note {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}
pub(crate) use note;

/// A line on standard output. An error goes to the caller, and from there to `main`, which takes a closed pipe as the end.
macro_rules! line {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        writeln!(std::io::stdout(), $($text)*)
    }};
}
pub(crate) use line;

/// A reply's text on standard output, as it comes.
#[derive(Debug, Default)]
pub struct Echo {
    broken: Option<io::Error>,
}

impl Echo {
    /// Shows text at once. Where it cannot, the reply need not go on.
    pub fn show(&mut self, text: &str) -> ControlFlow<()> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.broken = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// Ends the line, or says why the text could not be shown.
    pub fn end(self) -> io::Result<()> {
        match self.broken {
            Some(error) => Err(error),
            None => line!(""),
        }
    }
}

/// Picojoules in the unit that suits them, with three digits: "528 µJ", as the page shows them.
pub fn energy(picojoules: f64) -> String {
    const UNITS: [&str; 5] = ["pJ", "nJ", "µJ", "mJ", "J"];
    let (mut value, mut unit) = (picojoules, 0);
    // 999.5 would be shown as 1000.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    let decimals = [9.995, 99.95].iter().filter(|&&limit| value < limit).count();
    format!("{value:.decimals$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::energy;

    #[test]
    fn energy_has_three_digits_and_the_unit_that_suits_it() {
        for (picojoules, shown) in [
            (0.0, "0.00 pJ"),
            (9.994, "9.99 pJ"),
            (9.996, "10.0 pJ"),
            (999.4, "999 pJ"),
            (999.6, "1.00 nJ"),
            (7.23e6, "7.23 µJ"),
            (527.69e6, "528 µJ"),
            (1.5e15, "1500 J"),
        ] {
            assert_eq!(energy(picojoules), shown);
        }
    }
}
