//! What can only be seen from outside: a process that is killed.

mod kill;
