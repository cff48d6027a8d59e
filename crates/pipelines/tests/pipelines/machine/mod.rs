//! The corpus on the pure machine: a table of functions stands for the components.
//!
//! `corpus/NAME.trace` holds every node of a run with the pipeline's defaults: state, inputs, outputs, reasons.
//! `UPDATE_GOLDEN=1` writes them anew; read the difference.

mod components;
mod crashes;
mod random;
mod steps;
mod traces;
mod world;
