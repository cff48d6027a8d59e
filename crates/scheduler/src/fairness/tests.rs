use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const GIB: u64 = 1 << 30;

fn cpu(milli: u64) -> Demand {
    Demand { cpu_milli: milli, ..Demand::default() }
}

fn entry(task: i64, namespace: &str, rank: i64, demand: Demand) -> Entry {
    Entry { task, namespace: namespace.into(), queue: "default".into(), rank, key: None, demand }
}

fn keyed(task: i64, key: &str, rank: i64) -> Entry {
    Entry { key: Some(key.into()), ..entry(task, "a", rank, Demand::default()) }
}

fn node(total: Demand) -> Node {
    Node { total, free: total }
}

fn one_node(slots: u32, milli: u64) -> Capacity {
    Capacity { slots, nodes: vec![node(cpu(milli))] }
}

fn tasks(choices: &[Choice]) -> Vec<i64> {
    choices.iter().map(|choice| choice.task).collect()
}

#[test]
fn ranks_age() {
    let step = 60_000;
    // An urgent task passes those that waited less than the difference of priority is worth, and no others.
    assert!(rank(500_000, 9, step) < rank(0, 0, step));
    assert!(rank(541_000, 9, step) > rank(0, 0, step));
    assert_eq!(rank(0, 200, step), rank(0, 9, step));
    assert_eq!(rank(i64::MIN, 9, i64::MAX), i64::MIN);
}

#[test]
fn lower_rank_first_then_lower_id() {
    let mut board = Board::new(Settings::default());
    for (task, rank) in [(1, 30), (2, 10), (4, 20), (3, 20)] {
        assert!(board.offer(entry(task, "a", rank, Demand::default())));
    }
    assert!(!board.offer(entry(1, "b", 0, Demand::default())));
    assert_eq!(tasks(&board.choose(0, &mut one_node(3, 0), 10)), [2, 3, 4]);
    assert_eq!((board.ready(), board.running()), (1, 3));
}

#[test]
fn what_is_blocked_blocks_nobody() {
    let mut board = Board::new(Settings::default());
    board.set_key_limit("a", "locked", Some(0));
    board.set_queue("a", "paused", QueueRule { paused: true, ..QueueRule::default() });
    board.set_namespace("full", NamespaceRule { weight: 100, limit: Some(0) });
    for task in 0..1000 {
        board.offer(keyed(task, "locked", -1000));
        board.offer(Entry { queue: "paused".into(), ..entry(1000 + task, "a", -1000, Demand::default()) });
        board.offer(entry(2000 + task, "full", -1000, Demand::default()));
        board.offer(entry(3000 + task, "a", -1000, cpu(900)));
    }
    board.offer(entry(9000, "a", 5, cpu(100)));
    let mut capacity = Capacity { slots: 1, nodes: vec![Node { total: cpu(1000), free: cpu(100) }] };
    assert_eq!(tasks(&board.choose(0, &mut capacity, 1)), [9000]);

    board.set_queue("a", "paused", QueueRule::default());
    let mut capacity = Capacity { slots: 5, nodes: vec![Node { total: cpu(1000), free: cpu(0) }] };
    assert_eq!(tasks(&board.choose(0, &mut capacity, 10)), [1000, 1001, 1002, 1003, 1004]);
}

#[test]
fn a_key_is_a_limit_of_its_own_namespace() {
    let mut board = Board::new(Settings::default());
    board.set_key_limit("a", "pair", Some(2));
    for task in 0..4 {
        board.offer(keyed(task, "single", task));
        board.offer(keyed(10 + task, "pair", task));
        board.offer(Entry { namespace: "b".into(), ..keyed(20 + task, "single", task) });
    }
    let mut capacity = one_node(100, 0);
    let mut started = tasks(&board.choose(0, &mut capacity, 100));
    started.sort_unstable();
    assert_eq!(started, [0, 10, 11, 20]);
    assert!(board.choose(0, &mut capacity, 100).is_empty());
    assert!(board.finished(10, 1));
    assert!(!board.finished(10, 1));
    assert_eq!(tasks(&board.choose(0, &mut capacity, 100)), [12]);
    // Raising and lowering counts at once.
    board.set_key_limit("a", "single", Some(2));
    assert_eq!(tasks(&board.choose(0, &mut capacity, 100)), [1]);
    board.set_key_limit("a", "single", None);
    board.finished(0, 1);
    assert!(board.choose(0, &mut capacity, 100).is_empty());
}

#[test]
fn a_late_comer_has_not_saved_up() {
    let mut board = Board::new(Settings::default());
    for task in 0..200 {
        board.offer(entry(task, "old", task, Demand::default()));
    }
    let mut capacity = one_node(1000, 0);
    board.choose(0, &mut capacity, 100);
    for task in 1000..1200 {
        board.offer(entry(task, "new", task, Demand::default()));
    }
    let next = tasks(&board.choose(0, &mut capacity, 20));
    let new = next.iter().filter(|task| **task >= 1000).count();
    assert!((10..=11).contains(&new), "{new}");
}

#[test]
fn long_tasks_are_paid_for() {
    let mut board = Board::new(Settings { quantum_ms: 1000, ..Settings::default() });
    for task in 0..100 {
        board.offer(entry(task, "long", task, Demand::default()));
        board.offer(entry(1000 + task, "short", task, Demand::default()));
    }
    let mut capacity = one_node(14, 0);
    assert_eq!(tasks(&board.choose(0, &mut capacity, 2)), [0, 1000]);
    board.finished(0, 10_500);
    board.finished(1000, 100);
    capacity.slots += 2;
    let next = tasks(&board.choose(10_500, &mut capacity, 12));
    assert_eq!(next.iter().filter(|task| **task < 1000).count(), 1, "{next:?}");
}

#[test]
fn what_fits_no_node_is_told_once_and_blocks_nobody() {
    let mut board = Board::new(Settings::default());
    let demands = [
        (1, cpu(5000), UnfitReason::InsufficientCpu),
        (2, Demand { memory: 9 * GIB, ..cpu(1000) }, UnfitReason::InsufficientMemory),
        (3, Demand { gpu: 1, ..cpu(1000) }, UnfitReason::InsufficientGpu),
    ];
    for (task, demand, _) in demands {
        board.offer(entry(task, "a", task, demand));
    }
    board.offer(entry(9, "a", 9, cpu(1000)));
    let total = Demand { cpu_milli: 2000, memory: 8 * GIB, gpu: 0 };
    let mut capacity = Capacity { slots: 10, nodes: vec![node(total)] };
    assert_eq!(tasks(&board.choose(0, &mut capacity, 10)), [9]);
    assert_eq!(board.take_unfit(), demands.map(|(task, _, reason)| Unfit { task, reason }));
    // Later ones are told as they come.
    board.offer(entry(4, "a", 4, cpu(2001)));
    board.choose(1, &mut capacity, 10);
    assert_eq!(board.take_unfit(), [Unfit { task: 4, reason: UnfitReason::InsufficientCpu }]);
    board.choose(2, &mut capacity, 10);
    assert_eq!(board.take_unfit(), []);

    // A larger node comes, and goes before all could start.
    capacity.nodes.push(node(Demand { cpu_milli: 5000, memory: 16 * GIB, gpu: 1 }));
    assert_eq!(tasks(&board.choose(3, &mut capacity, 1)), [1]);
    capacity.nodes.pop();
    assert!(board.choose(4, &mut capacity, 10).is_empty());
    assert_eq!(board.take_unfit().len(), 3);
    assert!(board.withdraw(2).is_some());
    assert_eq!((board.withdraw(1), board.ready(), board.running()), (None, 2, 2));
}

#[test]
fn without_nodes_nothing_is_decided() {
    let mut board = Board::new(Settings::default());
    board.offer(entry(1, "a", 0, cpu(1)));
    assert!(board.choose(0, &mut Capacity { slots: 5, nodes: vec![] }, 5).is_empty());
    assert_eq!(board.take_unfit(), []);
}

#[test]
fn a_gpu_stays_free_for_those_who_need_it() {
    let mut board = Board::new(Settings::default());
    let with_gpu = Demand { gpu: 1, ..cpu(4000) };
    board.offer(entry(1, "a", 1, cpu(1000)));
    board.offer(entry(2, "a", 2, with_gpu));
    let mut capacity = Capacity { slots: 5, nodes: vec![node(with_gpu), node(cpu(8000))] };
    let choices = board.choose(0, &mut capacity, 5);
    assert_eq!(choices, [Choice { task: 1, node: 1 }, Choice { task: 2, node: 0 }]);
    assert_eq!(capacity.nodes[0].free, Demand::default());
    assert_eq!((capacity.nodes[1].free, capacity.slots), (cpu(7000), 3));
}

/// Small tasks of 10 s come without end; the large one waits until all of the node is free.
#[test]
fn the_small_do_not_starve_the_large() {
    let settings = Settings { reserve_after_ms: 30_000, ..Settings::default() };
    let mut board = Board::new(settings);
    let mut capacity = one_node(100, 4000);
    let mut ends: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    board.offer(entry(-1, "large", 0, cpu(4000)));
    let (mut next, mut started_at) = (0, None);
    for now in (0..120_000).step_by(500) {
        board.offer(entry(next, "small", now, cpu(1000)));
        next += 1;
        for task in ends.remove(&now).unwrap_or_default() {
            board.finished(task, now);
            capacity.nodes[0].free = capacity.nodes[0].free.plus(&cpu(1000));
            capacity.slots += 1;
        }
        if now == 0 {
            // The small ones are there first.
            assert_eq!(board.withdraw(-1).map(|entry| entry.task), Some(-1));
        }
        for choice in board.choose(now, &mut capacity, 100) {
            match choice.task {
                -1 => started_at = Some(now),
                task => ends.entry(now + 10_000).or_default().push(task),
            }
        }
        if now == 0 {
            board.offer(entry(-1, "large", 0, cpu(4000)));
        }
    }
    // Passed over from half a second on, kept for from 30 s later on, and the node is free when the last of 10 s ends.
    let started_at = started_at.expect("the large task starts");
    assert!(started_at <= 500 + 30_000 + 10_000, "{started_at}");
}

#[test]
fn a_kept_node_takes_what_is_not_in_the_way() {
    let mut board = Board::new(Settings { reserve_after_ms: 0, ..Settings::default() });
    let total = Demand { gpu: 2, ..cpu(8000) };
    let mut capacity = Capacity { slots: 10, nodes: vec![Node { total, free: Demand { gpu: 1, ..cpu(8000) } }] };
    board.offer(entry(1, "a", 0, Demand { gpu: 2, ..cpu(4000) }));
    board.offer(entry(2, "a", 1, Demand { gpu: 1, ..cpu(1000) }));
    board.offer(entry(3, "a", 2, cpu(4000)));
    board.offer(entry(4, "a", 3, cpu(1000)));
    board.offer(entry(5, "a", 4, Demand::default()));
    // The GPU and half of the CPUs are kept.
    assert_eq!(tasks(&board.choose(0, &mut capacity, 10)), [3, 5]);
    // Whoever waits for a limit keeps nothing.
    board.set_namespace("a", NamespaceRule { weight: 1, limit: Some(2) });
    board.choose(0, &mut capacity, 10);
    board.set_namespace("a", NamespaceRule::default());
    board.withdraw(1);
    assert_eq!(tasks(&board.choose(0, &mut capacity, 10)), [2, 4]);
}

#[test]
fn what_is_over_is_forgotten() {
    let mut board = Board::new(Settings::default());
    let mut capacity = one_node(1, 0);
    for task in 0..5000 {
        let name: Arc<str> = format!("{task}").into();
        let one = entry(task, if task % 2 == 0 { &name } else { "same" }, 0, Demand::default());
        board.set_key_limit(&one.namespace, &name, Some(3));
        board.offer(Entry { queue: Arc::clone(&name), key: Some(name), ..one });
        assert_eq!(board.choose(task, &mut capacity, 1).len(), 1);
        assert!(board.finished(task, task));
        capacity.slots = 1;
    }
    assert!(board.depths().count() < 500, "{}", board.depths().count());
}

/// The board beside plain counting.
struct Watched {
    board: Board,
    capacity: Capacity,
    waiting: BTreeMap<i64, Entry>,
    running: BTreeMap<i64, (Entry, usize)>,
    namespaces: HashMap<Arc<str>, NamespaceRule>,
    queues: HashMap<(Arc<str>, Arc<str>), QueueRule>,
    keys: HashMap<(Arc<str>, Arc<str>), u32>,
    reserving: bool,
    now: i64,
    next: i64,
}

impl Watched {
    fn new(settings: Settings, capacity: Capacity) -> Self {
        Self {
            board: Board::new(settings),
            capacity,
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            namespaces: HashMap::new(),
            queues: HashMap::new(),
            keys: HashMap::new(),
            reserving: settings.reserve_after_ms < i64::MAX,
            now: 0,
            next: 0,
        }
    }

    fn count(&self, of: impl Fn(&Entry) -> bool) -> u32 {
        self.running.values().filter(|(entry, _)| of(entry)).count() as u32
    }

    /// Whether limits let it run beside the others.
    fn may_start(&self, entry: &Entry) -> bool {
        let namespace = self.namespaces.get(&entry.namespace).copied().unwrap_or_default();
        let at = (Arc::clone(&entry.namespace), Arc::clone(&entry.queue));
        let queue = self.queues.get(&at).copied().unwrap_or_default();
        let same_namespace = |other: &Entry| other.namespace == entry.namespace;
        let key = entry.key.as_ref().is_none_or(|key| {
            let limit = self.keys.get(&(Arc::clone(&entry.namespace), Arc::clone(key))).copied().unwrap_or(1);
            self.count(|other| same_namespace(other) && other.key.as_ref() == Some(key)) < limit
        });
        !queue.paused
            && key
            && namespace.limit.is_none_or(|limit| self.count(same_namespace) < limit)
            && queue
                .limit
                .is_none_or(|limit| self.count(|other| same_namespace(other) && other.queue == entry.queue) < limit)
    }

    fn choose(&mut self, most: usize) -> Result<(), TestCaseError> {
        let mut capacity = self.capacity.clone();
        for choice in self.board.choose(self.now, &mut self.capacity, most) {
            let entry = self.waiting.remove(&choice.task).expect("it was waiting");
            prop_assert!(self.may_start(&entry), "{entry:?} is beyond a limit");
            prop_assert!(entry.demand.fits(&capacity.nodes[choice.node].free));
            for other in self.waiting.values() {
                let alike = (&other.namespace, &other.queue, &other.key, other.demand)
                    == (&entry.namespace, &entry.queue, &entry.key, entry.demand);
                // Only one for whom a node was kept may pass its like.
                prop_assert!(self.reserving || !alike || (entry.rank, entry.task) < (other.rank, other.task));
            }
            capacity.nodes[choice.node].free = capacity.nodes[choice.node].free.minus(&entry.demand);
            prop_assert!(capacity.slots > 0);
            capacity.slots -= 1;
            self.running.insert(choice.task, (entry, choice.node));
        }
        prop_assert_eq!(&capacity, &self.capacity);
        prop_assert_eq!((self.board.ready(), self.board.running()), (self.waiting.len(), self.running.len()));
        Ok(())
    }

    /// Nothing idles while something could start.
    fn check_conserving(&self) -> Result<(), TestCaseError> {
        if self.capacity.slots > 0 {
            for entry in self.waiting.values().filter(|entry| self.may_start(entry)) {
                let fits = self.capacity.nodes.iter().any(|node| entry.demand.fits(&node.free));
                prop_assert!(!fits, "{entry:?} could start");
            }
        }
        Ok(())
    }

    fn finish(&mut self, task: i64) {
        let (entry, node) = self.running.remove(&task).expect("it runs");
        self.capacity.nodes[node].free = self.capacity.nodes[node].free.plus(&entry.demand);
        self.capacity.slots += 1;
        assert!(self.board.finished(task, self.now));
        self.forget(&entry);
    }

    /// As the board forgets the limit of a key with its last task.
    fn forget(&mut self, gone: &Entry) {
        let mut all = self.waiting.values().chain(self.running.values().map(|(entry, _)| entry));
        if let Some(key) = &gone.key
            && !all.any(|entry| entry.namespace == gone.namespace && entry.key.as_ref() == Some(key))
        {
            self.keys.remove(&(Arc::clone(&gone.namespace), Arc::clone(key)));
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Offer { namespace: u8, queue: u8, key: Option<u8>, rank: i64, demand: Demand },
    Withdraw(usize),
    Finish(usize),
    Steal(usize),
    Choose(usize),
    Wait(i64),
    Namespace(u8, NamespaceRule),
    Queue(u8, u8, QueueRule),
    Key(u8, u8, u32),
}

fn demand() -> impl Strategy<Value = Demand> {
    (0u64..5, 0u64..5, prop_oneof![4 => Just(0u32), 1 => 1u32..3]).prop_map(|(cpu, memory, gpu)| Demand {
        cpu_milli: cpu * 500,
        memory: memory * GIB,
        gpu,
    })
}

fn limit() -> impl Strategy<Value = Option<u32>> {
    prop::option::of(0u32..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0u8..3, 0u8..2, prop::option::of(0u8..2), 0i64..100, demand())
            .prop_map(|(namespace, queue, key, rank, demand)| Step::Offer { namespace, queue, key, rank, demand }),
        2 => any::<usize>().prop_map(Step::Withdraw),
        6 => any::<usize>().prop_map(Step::Finish),
        1 => any::<usize>().prop_map(Step::Steal),
        4 => (1usize..5).prop_map(Step::Choose),
        2 => Just(Step::Choose(usize::MAX)),
        2 => (0i64..2000).prop_map(Step::Wait),
        1 => (0u8..3, 0u32..5, limit()).prop_map(|(at, weight, limit)| Step::Namespace(at, NamespaceRule { weight, limit })),
        1 => (0u8..3, 0u8..2, 0u32..5, limit(), prop::bool::weighted(0.3))
            .prop_map(|(at, queue, weight, limit, paused)| Step::Queue(at, queue, QueueRule { weight, limit, paused })),
        1 => (0u8..3, 0u8..2, 0u32..4).prop_map(|(at, key, limit)| Step::Key(at, key, limit)),
    ]
}

fn name(of: u8) -> Arc<str> {
    format!("n{of}").into()
}

fn play(watched: &mut Watched, step: Step) -> Result<(), TestCaseError> {
    match step {
        Step::Offer { namespace, queue, key, rank, demand } => {
            let (namespace, queue, key) = (name(namespace), name(queue), key.map(name));
            let entry = Entry { task: watched.next, namespace, queue, rank, key, demand };
            watched.next += 1;
            watched.waiting.insert(entry.task, entry.clone());
            prop_assert!(watched.board.offer(entry));
        }
        Step::Withdraw(at) => {
            if let Some(task) = watched.waiting.keys().nth(at % watched.waiting.len().max(1)).copied() {
                let entry = watched.waiting.remove(&task);
                prop_assert_eq!(&watched.board.withdraw(task), &entry);
                watched.forget(&entry.unwrap());
            }
        }
        Step::Finish(at) => {
            if let Some(task) = watched.running.keys().nth(at % watched.running.len().max(1)).copied() {
                watched.finish(task);
            }
        }
        // Another server starts one and it takes a slot, beyond limits if it likes.
        Step::Steal(at) => {
            let task = watched.waiting.keys().nth(at % watched.waiting.len().max(1)).copied();
            if let Some(task) = task.filter(|_| watched.capacity.slots > 0) {
                let entry = watched.waiting[&task].clone();
                let node = watched.capacity.nodes.iter().position(|node| entry.demand.fits(&node.free));
                if let Some(node) = node {
                    watched.waiting.remove(&task);
                    watched.capacity.slots -= 1;
                    watched.capacity.nodes[node].free = watched.capacity.nodes[node].free.minus(&entry.demand);
                    prop_assert!(watched.board.started(entry.clone(), watched.now));
                    prop_assert!(!watched.board.started(entry.clone(), watched.now));
                    watched.running.insert(task, (entry, node));
                }
            }
        }
        Step::Choose(most) => {
            watched.choose(most)?;
            if most == usize::MAX && !watched.reserving {
                watched.check_conserving()?;
            }
        }
        Step::Wait(ms) => watched.now += ms,
        Step::Namespace(at, rule) => {
            watched.namespaces.insert(name(at), rule);
            watched.board.set_namespace(&name(at), rule);
        }
        Step::Queue(at, queue, rule) => {
            watched.queues.insert((name(at), name(queue)), rule);
            watched.board.set_queue(&name(at), &name(queue), rule);
        }
        Step::Key(at, key, limit) => {
            watched.keys.insert((name(at), name(key)), limit);
            watched.board.set_key_limit(&name(at), &name(key), Some(limit));
        }
    }
    Ok(())
}

fn two_nodes() -> Capacity {
    let small = Demand { cpu_milli: 2000, memory: 4 * GIB, gpu: 0 };
    let large = Demand { cpu_milli: 4000, memory: 3 * GIB, gpu: 2 };
    Capacity { slots: 6, nodes: vec![node(small), node(large)] }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn limits_hold_and_nothing_idles(steps in prop::collection::vec(step(), 1..150)) {
        let never = Settings { reserve_after_ms: i64::MAX, ..Settings::default() };
        let mut watched = Watched::new(never, two_nodes());
        for step in steps {
            play(&mut watched, step)?;
        }
        watched.choose(usize::MAX)?;
        watched.check_conserving()?;
    }

    #[test]
    fn with_reservations_limits_hold_and_all_that_may_run_does(steps in prop::collection::vec(step(), 1..150)) {
        let soon = Settings { reserve_after_ms: 1000, reservations: 2, ..Settings::default() };
        let mut watched = Watched::new(soon, two_nodes());
        for step in steps {
            play(&mut watched, step)?;
        }
        // Without limits everything that fits an empty node gets its turn.
        for at in 0..3 {
            play(&mut watched, Step::Namespace(at, NamespaceRule::default()))?;
            for other in 0..2 {
                play(&mut watched, Step::Queue(at, other, QueueRule::default()))?;
                play(&mut watched, Step::Key(at, other, 1))?;
            }
        }
        let most = watched.waiting.len() + watched.running.len() + 2;
        for _ in 0..most {
            watched.now += 2000;
            watched.choose(usize::MAX)?;
            for task in watched.running.keys().copied().collect::<Vec<_>>() {
                watched.finish(task);
            }
        }
        for entry in watched.waiting.values() {
            prop_assert!(!watched.capacity.nodes.iter().any(|node| entry.demand.fits(&node.total)), "{entry:?} starved");
        }
    }

    #[test]
    fn a_rebuilt_board_chooses_what_may_run(steps in prop::collection::vec(step(), 1..80)) {
        let settings = Settings { reserve_after_ms: i64::MAX, ..Settings::default() };
        let mut watched = Watched::new(settings, two_nodes());
        for step in steps {
            play(&mut watched, step)?;
        }
        let running = watched.running.values().map(|(entry, _)| (entry.clone(), 0));
        watched.board = Board::rebuild(settings, running, watched.waiting.values().cloned());
        for (at, rule) in &watched.namespaces {
            watched.board.set_namespace(at, *rule);
        }
        for ((at, queue), rule) in &watched.queues {
            watched.board.set_queue(at, queue, *rule);
        }
        for ((at, key), limit) in &watched.keys {
            watched.board.set_key_limit(at, key, Some(*limit));
        }
        watched.choose(usize::MAX)?;
        watched.check_conserving()?;
    }

    /// The bound of the module's text, at each moment, between namespaces that always have something.
    #[test]
    fn service_is_fair_by_weight(
        weights in prop::collection::vec(1u32..6, 2..5),
        sizes in prop::collection::vec((0usize..5, 0u64..=1000), 50..300),
    ) {
        let mut board = Board::new(Settings { quantum_ms: 0, ..Settings::default() });
        let slots = 4;
        let mut costs: HashMap<i64, (usize, f64)> = HashMap::new();
        let mut last = 0;
        let mut demands = sizes.iter().cycle();
        let mut give = |board: &mut Board, at: usize, costs: &mut HashMap<i64, (usize, f64)>| {
            let milli = demands.next().map_or(0, |(_, milli)| *milli);
            last += 1;
            costs.insert(last, (at, (milli as f64 / 1000.0).max(1.0 / f64::from(slots))));
            board.offer(entry(last, &name(at as u8), last, cpu(milli)));
        };
        for (at, weight) in weights.iter().enumerate() {
            board.set_namespace(&name(at as u8), NamespaceRule { weight: *weight, limit: None });
            (0..3).for_each(|_| give(&mut board, at, &mut costs));
        }
        let mut served = vec![0.0; weights.len()];
        let bound = |a: usize, b: usize| 1.0 / f64::from(weights[a]) + 1.0 / f64::from(weights[b]) + 1e-4;
        for _ in 0..200 {
            let choices = board.choose(0, &mut one_node(slots, 1000), 1);
            let task = choices[0].task;
            board.finished(task, 0);
            let (at, cost) = costs[&task];
            served[at] += cost / f64::from(weights[at]);
            give(&mut board, at, &mut costs);
            for a in 0..weights.len() {
                for b in 0..a {
                    prop_assert!((served[a] - served[b]).abs() <= bound(a, b), "{served:?} {weights:?}");
                }
            }
        }
    }

    /// Whoever comes is served before the others together get more than the module's text allows.
    #[test]
    fn nobody_starves(weights in prop::collection::vec(1u32..6, 2..6), before in 0i64..100) {
        let mut board = Board::new(Settings { quantum_ms: 0, ..Settings::default() });
        for (at, weight) in weights.iter().enumerate() {
            board.set_namespace(&name(at as u8), NamespaceRule { weight: *weight, limit: None });
            if at > 0 {
                (0..400).for_each(|no| assert!(board.offer(entry(at as i64 * 10_000 + no, &name(at as u8), no, cpu(1000)))));
            }
        }
        let next = |board: &mut Board| {
            let task = board.choose(0, &mut one_node(1, 1000), 1)[0].task;
            board.finished(task, 0);
            task
        };
        for _ in 0..before {
            next(&mut board);
        }
        board.offer(entry(1, &name(0), 0, cpu(1000)));
        let others: f64 = weights[1..].iter().map(|weight| f64::from(*weight) / f64::from(weights[0]) + 1.0).sum();
        let position = (0..2000).position(|_| next(&mut board) == 1).unwrap();
        prop_assert!(position as f64 <= others, "{position} {others}");
    }
}
