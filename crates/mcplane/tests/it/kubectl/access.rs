use super::start;
use mcplane_testkit::{Backend, on_each_backend};

on_each_backend!(whoever_sits_at_the_machine_may_do_all);

fn whoever_sits_at_the_machine_may_do_all(backend: Backend) {
    let (_server, k) = start(backend);
    assert_eq!(k.ok("auth can-i delete secrets -A"), "yes\n");
    assert_eq!(k.ok("auth can-i * *"), "yes\n");
    let rules = k.ok("auth can-i --list");
    assert!(rules.contains("*.*"), "{rules}");
}
