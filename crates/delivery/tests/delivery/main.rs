//! The gateway between real sockets.

mod gateway;
mod rig;
