//! Doubts against a model.

use proptest::prelude::*;

use super::*;

fn place(number: usize) -> HourPlace {
    let (channel, quality) = (NAMES[number % 2], ["source", "480p"][number / 2 % 2]);
    HourPlace::parse(&format!("{channel}/{quality}/2020-01-01T{:02}", number / 4 % 24)).unwrap()
}

fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

fn has(files: u64) -> impl FnOnce() -> Result<u64, ()> {
    move || Ok(files)
}

#[test]
fn more_than_half_of_a_channel_at_once_is_held_until_it_is_back_or_accepted() {
    let mut doubts = Doubts::new(10);
    let (a, losses) = (channel("a"), [(place(0), 30), (place(4), 21)]);
    assert_eq!(doubts.weigh(&channel("b"), &[(place(1), 10)], has(10)), Ok(LossVerdict::Go), "little may always go");
    assert_eq!(doubts.weigh(&a, &losses, has(100)), Ok(LossVerdict::Doubt));
    assert_eq!(doubts.weigh(&a, &[(place(2), 1)], has(100)), Ok(LossVerdict::Hold), "now nothing goes");
    let told = doubts.of(&place(0)).unwrap();
    assert_eq!((told.missing, told.had, told.hours), (52, 100, 3));
    assert!(told.to_string().contains("52 of 100 files in 3 hours"), "{told}");
    assert_eq!(doubts.of(&place(8)), None, "the others go on");
    doubts.begin();
    assert_eq!(doubts.all(), [told]);
    assert!(!doubts.found(&place(2)) && !doubts.found(&place(0)) && doubts.found(&place(4)), "all is back");
    assert!(doubts.all().is_empty() && doubts.of(&place(0)).is_none());
    assert_eq!(doubts.weigh(&a, &losses, has(100)), Ok(LossVerdict::Doubt));
    let (_, mut places) = doubts.accept(&a).unwrap();
    places.sort();
    assert_eq!(places, [place(0), place(4)]);
    assert!(doubts.accept(&a).is_none() && doubts.accept(&channel("x")).is_none());
    doubts.begin();
    assert_eq!(doubts.weigh(&a, &losses, has(100)), Ok(LossVerdict::Go), "a whole window is given to it");
    doubts.begin();
    assert_eq!(doubts.weigh(&a, &losses, has(100)), Ok(LossVerdict::Doubt), "and not a second one");
}

#[test]
fn what_goes_in_parts_adds_up_and_what_did_not_go_does_not_count() {
    let mut doubts = Doubts::new(10);
    let a = channel("a");
    assert_eq!(doubts.weigh(&a, &[(place(0), 40)], has(100)), Ok(LossVerdict::Go));
    doubts.give_back(&a, 40);
    assert_eq!(doubts.weigh(&a, &[(place(0), 40)], has(100)), Ok(LossVerdict::Go));
    assert_eq!(doubts.weigh_whole(&a, &[(place(4), 10)], has(60)), Ok(LossVerdict::Go), "half is not more than half");
    assert_eq!(doubts.weigh(&a, &[(place(4), 11)], has(60)), Ok(LossVerdict::Doubt));
}

#[test]
fn each_window_is_counted_anew() {
    let (mut doubts, a) = (Doubts::new(10), channel("a"));
    assert_eq!(doubts.weigh(&a, &[(place(0), 40)], has(100)), Ok(LossVerdict::Go));
    doubts.begin();
    assert_eq!(doubts.weigh(&a, &[(place(4), 11)], has(60)), Ok(LossVerdict::Go), "another window");
}

/// What happens to an archive of two channels.
#[derive(Debug, Clone)]
enum Step {
    Put(usize, u64),
    Lose(usize, u64),
    Restore,
    Compare(Vec<usize>),
    Begin,
    Accept(usize),
}

const HOURS: usize = 16;
const NAMES: [&str; 2] = ["a", "b"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..HOURS, 1_u64..40).prop_map(|(at, count)| Step::Put(at, count)),
        3 => (0..HOURS, 1_u64..40).prop_map(|(at, count)| Step::Lose(at, count)),
        1 => Just(Step::Restore),
        5 => prop::collection::btree_set(0..HOURS, 1..6).prop_map(|places| Step::Compare(places.into_iter().collect())),
        1 => Just(Step::Begin),
        1 => (0_usize..2).prop_map(Step::Accept),
    ];
    prop::collection::vec(step, 1..120)
}

/// An index that is kept in step with a disk by nothing but comparing: how many files each hour has.
struct Model {
    doubts: Doubts,
    disk: [u64; HOURS],
    index: [u64; HOURS],
    /// What each channel has had in this window, what has left it, and for how many windows all may leave.
    windows: [(u64, u64, u8); 2],
}

impl Model {
    fn new(above: u64) -> Self {
        let files = [20; HOURS];
        let windows = [(20 * HOURS as u64 / 2, 0, 0); 2];
        Self { doubts: Doubts::new(above), disk: files, index: files, windows }
    }

    fn has(&self, of: usize) -> u64 {
        self.index.iter().skip(of).step_by(2).sum()
    }

    fn begin(&mut self) {
        self.doubts.begin();
        for of in 0..2 {
            self.windows[of] = (self.has(of), 0, self.windows[of].2.saturating_sub(1));
        }
    }

    fn accept(&mut self, of: usize) {
        if self.doubts.accept(&channel(NAMES[of])).is_some() {
            self.windows[of].2 = 2;
        }
    }

    /// Compares these hours of one channel.
    fn compare(&mut self, of: usize, places: &[usize]) {
        let loss = |at: &usize| (place(*at), self.index[*at].saturating_sub(self.disk[*at]));
        let losses: Vec<_> = places.iter().map(loss).filter(|(_, missing)| *missing > 0).collect();
        let has = self.has(of);
        let may_go = losses.is_empty()
            || self.doubts.weigh(&channel(NAMES[of]), &losses, || Ok::<_, ()>(has)) == Ok(LossVerdict::Go);
        for at in places.iter().copied() {
            if self.index[at] <= self.disk[at] {
                self.windows[of].0 += self.disk[at] - self.index[at];
                self.index[at] = self.disk[at];
                self.doubts.found(&place(at));
            } else if may_go {
                self.windows[of].1 += self.index[at] - self.disk[at];
                self.index[at] = self.disk[at];
            }
        }
    }

    fn of_channel(of: usize, places: &[usize]) -> Vec<usize> {
        places.iter().copied().filter(|at| at % 2 == of).collect()
    }
}

proptest! {
    #[test]
    fn no_window_loses_more_than_half_unasked_and_in_the_end_all_is_in_step(steps in steps(), above in 0_u64..60) {
        let mut model = Model::new(above);
        for step in steps {
            match step {
                Step::Put(at, count) => model.disk[at] += count,
                Step::Lose(at, count) => model.disk[at] = model.disk[at].saturating_sub(count),
                Step::Restore => model.disk = model.index,
                Step::Begin => model.begin(),
                Step::Accept(of) => model.accept(of),
                Step::Compare(places) => {
                    for of in 0..2 {
                        model.compare(of, &Model::of_channel(of, &places));
                    }
                    for at in places {
                        let is_missing = model.index[at] > model.disk[at];
                        prop_assert_eq!(is_missing, model.doubts.of(&place(at)).is_some(), "what is missing and known is held");
                    }
                }
            }
            for (had, left, accepted) in model.windows {
                prop_assert!(accepted > 0 || left <= above.max(had / 2), "{} of {} left, {} may", left, had, above);
            }
        }
        // With everything compared, and every question answered by yes, nothing differs in the end.
        for of in 0..2 {
            let all = Model::of_channel(of, &(0..HOURS).collect::<Vec<_>>());
            model.compare(of, &all);
            model.accept(of);
            model.compare(of, &all);
            model.accept(of);
        }
        prop_assert_eq!(model.index, model.disk);
        prop_assert!(model.doubts.all().is_empty());
    }
}
