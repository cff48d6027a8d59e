//! Real processes under real shims.

mod crash;
mod disk;
mod lifecycle;
mod output;
mod rig;
