//! The `blocksmith` program.

fn main() -> std::process::ExitCode {
    blocksmith::cli::main()
}
