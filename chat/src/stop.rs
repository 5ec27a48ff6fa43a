//! Stop strings: text that ends a reply and is not part of it.

/// Looks for stop strings in text that comes in pieces.
#[derive(Debug, Clone)]
pub struct StopStrings {
    stops: Vec<String>,
    held: String,
}

impl StopStrings {
    /// For these texts; empty ones are ignored.
    pub fn new(stops: impl IntoIterator<Item = String>) -> Self {
        Self { stops: stops.into_iter().filter(|s| !s.is_empty()).collect(), held: String::new() }
    }

    /// Takes the next text: what can be shown now, and whether a stop string was met. Text that may be the beginning of a
    /// stop string is held back.
    pub fn push(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        if let Some((_, at)) = first_to_end(&self.held, &self.stops) {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let shown = self.held.len() - keep;
        let rest = self.held.split_off(shown);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What was held back, when no more text comes.
    pub fn finish(self) -> String {
        self.held
    }
}

/// (end, start) of the stop string that ends first: the one that a reader of single characters would meet.
fn first_to_end(text: &str, stops: &[String]) -> Option<(usize, usize)> {
    stops.iter().filter_map(|stop| text.find(stop.as_str()).map(|at| (at + stop.len(), at))).min()
}

/// The length of the longest end of `text` that begins `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    stop.char_indices().map(|(at, _)| at).rev().find(|&n| text.ends_with(&stop[..n])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn holds_back_what_may_stop() {
        let mut stops = StopStrings::new(["User:".into(), "é".into()]);
        assert_eq!(stops.push("Hi Us"), ("Hi ".into(), false));
        assert_eq!(stops.push("ed"), ("Used".into(), false));
        assert_eq!(stops.push("! User"), ("! ".into(), false));
        assert_eq!(stops.push(": no"), (String::new(), true));
    }

    proptest! {
        /// However the text is cut, what is shown is what stands before the stop string that ends first.
        #[test]
        fn cuts_do_not_matter(text in "[abé]{0,20}", stops in prop::collection::vec("[abé]{0,3}", 0..3), cut in 1usize..4) {
            let mut watch = StopStrings::new(stops.clone());
            let (mut shown, mut stopped) = (String::new(), false);
            for piece in text.chars().collect::<Vec<_>>().chunks(cut) {
                let (now, stop) = watch.push(&piece.iter().collect::<String>());
                shown.push_str(&now);
                stopped = stop;
                if stop { break; }
            }
            if !stopped { shown.push_str(&watch.finish()); }
            let stops: Vec<String> = stops.into_iter().filter(|s| !s.is_empty()).collect();
            let first = first_to_end(&text, &stops);
            prop_assert_eq!(stopped, first.is_some());
            prop_assert_eq!(&shown, &text[..first.map_or(text.len(), |(_, at)| at)]);
        }
    }
}
