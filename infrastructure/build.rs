//! Tells cargo that the migrations are part of the program, so that a new one is noticed.
#![expect(
    clippy::print_stdout,
    reason = "this is how a build script speaks to cargo"
)]

fn main() {
    println!("cargo::rerun-if-changed=../migrations");
}
