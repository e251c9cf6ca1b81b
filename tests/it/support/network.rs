//! A network of its own on this machine: namespaces that hang on one bridge, each with an address that is reached from here.
//! Nothing of it is left when the value goes, panic or not.

use std::sync::atomic::{AtomicU32, Ordering};

use super::trouble::run;

/// What it is called and where its addresses lie must differ between tests that run at the same time.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A bridge and so many namespaces.
#[derive(Debug)]
pub struct Network {
    name: String,
    subnet: String,
    places: usize,
}

impl Network {
    /// Nothing where that is not allowed, and that is said.
    pub fn new(places: usize) -> Option<Self> {
        let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst));
        // Addresses for tests between machines, which nobody else uses.
        let subnet = format!("198.{}.{}", 18 + number % 2, process % 256);
        let network = Self { name: format!("gl{:x}{number:x}", process & 0x00ff_ffff), subnet, places };
        match network.make() {
            Ok(()) => Some(network),
            Err(why) => {
                eprintln!("SKIPPED: no network can be made here: {why}");
                None
            }
        }
    }

    fn make(&self) -> Result<(), String> {
        let bridge = &self.name;
        ip(&["link", "add", bridge, "type", "bridge"])?;
        ip(&["address", "add", &format!("{}.254/24", self.subnet), "dev", bridge])?;
        ip(&["link", "set", bridge, "up"])?;
        for at in 0..self.places {
            let (space, outer) = (self.space(at), self.cable(at));
            ip(&["netns", "add", &space])?;
            ip(&["link", "add", &outer, "type", "veth", "peer", "name", "eth0", "netns", &space])?;
            ip(&["link", "set", &outer, "master", bridge, "up"])?;
            ip(&["-n", &space, "address", "add", &format!("{}.{}/24", self.subnet, at + 1), "dev", "eth0"])?;
            ip(&["-n", &space, "link", "set", "eth0", "up"])?;
            ip(&["-n", &space, "link", "set", "lo", "up"])?;
        }
        Ok(())
    }

    fn space(&self, at: usize) -> String {
        format!("{}n{at}", self.name)
    }

    fn cable(&self, at: usize) -> String {
        format!("{}v{at}", self.name)
    }

    /// Where the node at this place listens.
    pub fn address(&self, at: usize) -> String {
        format!("{}.{}:8000", self.subnet, at + 1)
    }

    /// What runs a program at this place.
    pub fn inside(&self, at: usize) -> [String; 4] {
        ["ip", "netns", "exec", &self.space(at)].map(str::to_owned)
    }

    /// Pulls the cable: packets are lost, and nobody is told.
    pub fn cut(&self, at: usize) {
        ip(&["link", "set", &self.cable(at), "down"]).unwrap();
    }

    pub fn heal(&self, at: usize) {
        ip(&["link", "set", &self.cable(at), "up"]).unwrap();
    }

    /// What one place sends to another is lost; the other direction works. Both notice, because answers are sent, too.
    pub fn lose(&self, from: usize, to: usize) {
        let target = format!("{}.{}", self.subnet, to + 1);
        ip(&["-n", &self.space(from), "route", "add", "blackhole", &target]).unwrap();
    }

    pub fn find(&self, from: usize, to: usize) {
        let target = format!("{}.{}", self.subnet, to + 1);
        ip(&["-n", &self.space(from), "route", "del", "blackhole", &target]).unwrap();
    }

    /// Makes what this place sends late and loses some of it; false where the kernel cannot do that.
    pub fn is_made_bad(&self, at: usize) -> bool {
        let space = self.space(at);
        let words = [
            "netns", "exec", &space, "tc", "qdisc", "add", "dev", "eth0", "root", "netem", "delay", "20ms", "loss",
            "5%",
        ];
        let made = ip(&words);
        if let Err(why) = &made {
            eprintln!("SKIPPED: delay and loss, which this kernel cannot make: {why}");
        }
        made.is_ok()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What was never made cannot be removed; cables go with their namespaces.
        for at in 0..self.places {
            ip(&["netns", "del", &self.space(at)]).unwrap_or_default();
        }
        ip(&["link", "del", &self.name]).unwrap_or_default();
    }
}

fn ip(words: &[&str]) -> Result<(), String> {
    run("ip", words)
}
