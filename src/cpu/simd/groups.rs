//! Events in an order in which their rows can be added before they are multiplied: those of equal |count| together.

use std::ops::Range;

use crate::model::Event;

/// Numbers of the buckets that counts of -127 … 127 fall into: 2 |c|, and 1 more where c < 0.
const BUCKETS: usize = 256;

/// The events of one token, by |count|.
#[derive(Default)]
pub(super) struct Groups {
    neurons: Vec<u16>,
    groups: Vec<Group>,
}

/// Neurons that fired `count` times, and behind them those that fired -`count` times.
#[derive(Clone)]
struct Group {
    count: i16,
    plus: Range<usize>,
    minus: Range<usize>,
}

/// Some rows of equal |count|: Σ c · w over them is `count` · (Σ w over `plus` - Σ w over `minus`).
pub(super) struct Rows<'a> {
    pub count: i16,
    pub plus: &'a [u16],
    pub minus: &'a [u16],
}

impl Rows<'_> {
    /// How many.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.plus.len() + self.minus.len()
    }
}

impl Groups {
    /// Sorts the neurons of a token by their counts, `most` of them in a group and no more.
    #[inline(always)]
    pub fn sort(&mut self, counts: &[i8], most: usize) {
        let events = fired(counts);
        let bucket = |event: &Event| (2 * event.count().unsigned_abs() + u32::from(event.count() < 0)) as usize;
        let mut ends = [0u32; BUCKETS];
        events.iter().for_each(|event| ends[bucket(event) % BUCKETS] += 1);
        self.groups.clear();
        let mut start = 0;
        for (count, pair) in ends.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let (split, end) = (start + pair[0] as usize, start + (pair[0] + pair[1]) as usize);
            *pair = [start as u32, split as u32];
            for first in (start..end).step_by(most) {
                let last = end.min(first + most);
                let split = split.clamp(first, last);
                self.groups.push(Group { count: count as i16, plus: first..split, minus: split..last });
            }
            start = end;
        }
        // From starts, which the neurons push to the ends.
        self.neurons.resize(events.len(), 0);
        for event in &events {
            let place = &mut ends[bucket(event) % BUCKETS];
            self.neurons[*place as usize] = event.neuron() as u16;
            *place += 1;
        }
    }

    /// The groups, smallest |count| first.
    #[inline(always)]
    pub fn iter(&self) -> impl Iterator<Item = Rows<'_>> + Clone {
        self.groups.iter().map(|group| Rows {
            count: group.count,
            plus: &self.neurons[group.plus.clone()],
            minus: &self.neurons[group.minus.clone()],
        })
    }
}

/// The neurons that fired, in order.
#[inline(always)]
fn fired(counts: &[i8]) -> Vec<Event> {
    let mut events = vec![Event::new(0, 0); counts.len()];
    let mut end = 0;
    for (j, &count) in counts.iter().enumerate() {
        // Written always, and kept where it fired: no branch to guess.
        events[end] = Event::new(j, i32::from(count));
        end += usize::from(count != 0);
    }
    events.truncate(end);
    events
}
