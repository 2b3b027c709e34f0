//! The PostgreSQL store on a real server: what only this store can do wrong.

mod postgres {
    mod appending;
    mod keeping;
    mod outages;
    mod revoking;
    mod sequencing;
    mod server;
    mod world;
}
