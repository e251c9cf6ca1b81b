//! The verb `status`: what a node says about itself, on one screen, once or again and again. Works nothing out on its own.

mod screen;
mod table;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use console::{Term, truncate_str};

use super::api::Api;
use super::args::{OtherNode, now};
use super::config::{Config, time_between};
use super::daemon_search::{DaemonSearch, daemon_of};
use super::exit::Exit;
use super::out::{painted, stderr_line, stdout};
use crate::wire::Status;
use table::{ColourWriter, Tone};

#[derive(Debug, Clone, clap::Args)]
pub struct StatusArgs {
    /// Redraw until ctrl-C; one screen after the other if stdout is not a terminal
    #[arg(
        long,
        value_name = "INTERVAL",
        num_args = 0..=1,
        default_missing_value = "2s",
        value_parser = |text: &str| time_between(text, "100ms", "1d")
    )]
    pub watch: Option<Duration>,
    #[command(flatten)]
    pub node: OtherNode,
}

/// Prints the state of the daemon on this archive, or of the one that was named. Ends with 1 if something is wrong.
pub async fn run(config: &Config, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let term = Term::stdout();
    let paint = ColourWriter { colour: !config.json && term.features().colors_supported() };
    if let Some(every) = args.watch {
        return watch(config, args, every, &term, paint).await;
    }
    let status = ask(config, args).await?;
    let mut out = stdout();
    if config.json {
        out.json(&status)?;
    } else {
        let width = if term.is_term() { usize::from(term.size().1) } else { usize::MAX };
        let (problems, others) = screen::lines(&status, now(), paint);
        problems.iter().try_for_each(|line| out.painted(line))?;
        others.iter().try_for_each(|line| out.painted(&truncate_str(line, width, "…")))?;
    }
    // A notice is no reason to call anybody.
    Ok(if status.troubles.is_empty() { Exit::Done.into() } else { Exit::DataWrong.into() })
}

/// Looked for each time: a daemon that was started again may be at another address.
async fn ask(config: &Config, args: &StatusArgs) -> anyhow::Result<Status> {
    let daemon = match Api::named(config, &args.node)? {
        Some(daemon) => daemon,
        None => match daemon_of(config).await {
            DaemonSearch::Found(daemon) => daemon,
            DaemonSearch::Nothing { why, .. } => anyhow::bail!(why),
        },
    };
    Ok(daemon.get("api/v1/status").json().await?)
}

/// Shows the screen again and again until ctrl-C. A daemon that is away after it has answered once is waited for.
async fn watch(
    config: &Config,
    args: &StatusArgs,
    every: Duration,
    term: &Term,
    paint: ColourWriter,
) -> anyhow::Result<ExitCode> {
    let mut view = View { json: config.json, paint, every, last: Vec::new(), is_first: true, place: Place::of(term) };
    let mut end = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let watching = async {
        let mut answer = ask(config, args).await.map(Some)?;
        loop {
            view.show(answer.take())?;
            if stdout().is_gone() {
                return Ok(Exit::Done.into());
            }
            tokio::time::sleep(every).await;
            match ask(config, args).await {
                Ok(status) => answer = Some(status),
                Err(error) => view.away(&format!("{error:#}"))?,
            }
        }
    };
    let ended: anyhow::Result<ExitCode> = tokio::select! {
        ended = watching => ended,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Done.into()),
        _ = end.recv() => Ok(Exit::Done.into()),
    };
    if term.is_term() && !config.json {
        term.show_cursor()?;
    }
    ended
}

/// Where screens go.
enum Place {
    Terminal(Term),
    Lines,
}

impl Place {
    fn of(term: &Term) -> Self {
        if term.is_term() { Self::Terminal(Term::buffered_stdout()) } else { Self::Lines }
    }
}

struct View {
    json: bool,
    paint: ColourWriter,
    every: Duration,
    last: Vec<String>,
    is_first: bool,
    place: Place,
}

impl View {
    /// Draws what the node says; nothing if it has said nothing new.
    fn show(&mut self, answer: Option<Status>) -> anyhow::Result<()> {
        let Some(status) = answer else { return Ok(()) };
        if self.json {
            let mut out = stdout();
            out.json(&status)?;
            return Ok(());
        }
        let (problems, others) = screen::lines(&status, now(), self.paint);
        self.last = problems.into_iter().chain(others).collect();
        let again = format!("{}  every {}, ctrl-C ends", clock(), humantime::format_duration(self.every));
        self.draw(&self.paint.words(Tone::Faint, &again))
    }

    /// Says that the node does not answer, above what it said last.
    fn away(&mut self, why: &str) -> anyhow::Result<()> {
        if self.json {
            stderr_line(format_args!("gapless: {why}; it is asked again"));
            return Ok(());
        }
        let text = format!("{}  no answer: {why}; showing its last answer, retrying", clock());
        self.draw(&self.paint.words(Tone::Bad, &text))
    }

    fn draw(&mut self, first: &str) -> anyhow::Result<()> {
        let lines = std::iter::once(first).chain(self.last.iter().map(String::as_str));
        match &self.place {
            Place::Terminal(term) => {
                let (height, width) = term.size();
                if std::mem::replace(&mut self.is_first, false) {
                    term.hide_cursor()?;
                    term.clear_screen()?;
                }
                term.move_cursor_to(0, 0)?;
                for line in fitting(lines.collect(), height.into(), width.into()) {
                    term.clear_line()?;
                    term.write_line(&painted(&line))?;
                }
                term.clear_to_end_of_screen()?;
                term.flush()?;
            }
            Place::Lines => {
                let mut out = stdout();
                for line in lines {
                    out.painted(line)?;
                }
                // Between this screen and the next one.
                writeln!(out, "{}", "-".repeat(20))?;
            }
        }
        Ok(())
    }
}

/// So many lines that the last one does not make the terminal scroll, each so long that it is one.
fn fitting(lines: Vec<&str>, height: usize, width: usize) -> Vec<String> {
    let room = height.saturating_sub(1).max(1);
    let left_out = (lines.len() + 1).saturating_sub(room);
    let cut = |line: &str| truncate_str(line, width, "…").into_owned();
    if lines.len() <= room {
        return lines.into_iter().map(cut).collect();
    }
    let mut fit: Vec<String> = lines.into_iter().take(room - 1).map(cut).collect();
    fit.push(cut(&format!("… {left_out} more lines: they need a taller window")));
    fit
}

/// What time it is, to the second.
fn clock() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_and_said() {
        let lines = || vec!["first", "a rather long line", "third", "fourth"];
        assert_eq!(fitting(lines(), 5, 10), ["first", "a rather …", "third", "fourth"]);
        assert_eq!(
            fitting(lines(), 4, 80),
            ["first", "a rather long line", "… 2 more lines: they need a taller window"]
        );
        assert_eq!(fitting(lines(), 0, 80).len(), 1);
    }
}
