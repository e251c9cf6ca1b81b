//! The contract, with a clock that moves when somebody waits.

use super::super::{Clock, TestClock};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Does what the script says, step by step, and ends everything after it.
struct Scripted {
    script: std::vec::IntoIter<Step>,
    clock: Arc<TestClock>,
    stop: Stop,
    /// When each step began.
    began: Arc<parking_lot::Mutex<Vec<u64>>>,
}

enum Step {
    Says(Next),
    Works(Duration, Next),
    Fails,
    Panics,
}

impl Job for Scripted {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn deadline(&self) -> Duration {
        SECOND * 60
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(SECOND, SECOND * 4)
    }

    fn step(&mut self, post: &JobHandle) -> Result<Next, Failure> {
        self.began.lock().push(self.clock.now().as_secs());
        match self.script.next() {
            None => {
                self.stop.stop();
                Ok(Next::WhenWanted(SECOND))
            }
            Some(Step::Says(next)) => Ok(next),
            Some(Step::Works(time, next)) => {
                post.works("works");
                self.clock.pass(time);
                Ok(next)
            }
            Some(Step::Fails) => Err("it rains".into()),
            Some(Step::Panics) => panic!("it {}", "pours"),
        }
    }
}

/// Runs a script; tells the board, and at which second each step began.
fn run(script: Vec<Step>) -> (Arc<JobRegistry>, Vec<u64>) {
    let (clock, stop) = (Arc::new(TestClock::default()), Stop::new());
    let board = Arc::new(JobRegistry::new(Arc::<TestClock>::clone(&clock)));
    let began = Arc::default();
    let job = Scripted { script: script.into_iter(), clock, stop: stop.clone(), began: Arc::clone(&began) };
    Runner::new(job, &board, Wake::new(&stop)).run();
    let began = began.lock().clone();
    (board, began)
}

#[test]
fn it_rests_as_it_is_told_and_what_it_worked_is_counted() {
    let (board, began) = run(vec![
        Step::Works(SECOND * 2, Next::Again),
        Step::Works(SECOND * 3, Next::After(SECOND * 10)),
        Step::Says(Next::WhenWanted(SECOND * 7)),
    ]);
    assert_eq!(began, [0, 2, 15, 22]);
    let job = &board.jobs()[0];
    assert_eq!((job.steps, job.worked, job.failures_in_all), (2, SECOND * 5, 0), "a look is no step");
    assert_eq!(job.state, JobState::Ended);
}

#[test]
fn after_failures_it_waits_longer_and_longer_until_something_works() {
    use Step::{Fails, Panics, Says, Works};
    let look = || Says(Next::WhenWanted(SECOND));
    let well = || Works(Duration::ZERO, Next::Again);
    let (board, began) = run(vec![Fails, Fails, Panics, Fails, look(), Fails, well(), Fails, well()]);
    assert_eq!(
        began,
        [0, 1, 3, 7, 11, 12, 16, 16, 17, 17],
        "1, 2, 4, 4; a look in between forgets nothing; then 1 again"
    );
    let job = &board.jobs()[0];
    assert_eq!((job.failures, job.failures_in_all), (0, 6));
    assert_eq!(job.error.as_ref().unwrap().0, "it rains");
}

#[test]
fn a_panic_is_a_failure_with_its_words() {
    let (board, began) = run(vec![Step::Panics]);
    assert_eq!(began, [0, 1]);
    let job = &board.jobs()[0];
    assert_eq!(job.failures, 1);
    assert_eq!(job.error.as_ref().unwrap().0, "it crashed, which is a bug in gapless: it pours");
}

/// Waits until it is wanted, and says that it looked.
struct Waits(std::sync::mpsc::Sender<()>);

impl Job for Waits {
    fn kind(&self) -> &'static str {
        "waits"
    }

    fn deadline(&self) -> Duration {
        SECOND
    }

    fn step(&mut self, _: &JobHandle) -> Result<Next, Failure> {
        self.0.send(())?;
        Ok(Next::WhenWanted(SECOND * 3_600))
    }
}

#[test]
fn who_waits_is_woken_and_ended_at_once() {
    let (board, stop) = (Arc::new(JobRegistry::default()), Stop::new());
    let (tell, told) = std::sync::mpsc::channel();
    let wake = Wake::new(&stop);
    let runner = Runner::new(Waits(tell), &board, wake.clone());
    let thread = std::thread::spawn(move || runner.run());
    let patience = SECOND * 20;
    for _ in 0..100 {
        told.recv_timeout(patience).unwrap();
        wake.wake();
    }
    told.recv_timeout(patience).unwrap();
    stop.stop();
    thread.join().unwrap();
}
