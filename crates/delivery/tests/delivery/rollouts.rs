//! Rollouts over a database: what was measured survives, and only one of several servers decides.

use std::sync::Arc;
use std::time::Duration;

use mcplane_core::authz::AllowAll;
use mcplane_core::clock::ManualClock;
use mcplane_core::{Context, Grant, authz};
use mcplane_db::{Db, StoreUrl, audit};
use mcplane_delivery::rollouts::service::{Rollouts, Subject};
use mcplane_delivery::rollouts::store::Going;
use mcplane_delivery::rollouts::{Command, Phase, RolloutSpec, StageSpec, Verdict};
use mcplane_delivery::scope;
use mcplane_monitoring::live::{Hub, Sizes};
use mcplane_monitoring::records::RecorderConfig;
use mcplane_testkit::Database;
use tempfile::TempDir;

const HOST: &str = "fraud.lab";
const INTERVAL_MS: i64 = 30_000;

pub(crate) struct Store {
    url: StoreUrl,
    folder: TempDir,
    clock: Arc<ManualClock>,
    _database: Option<Database>,
}

/// One server.
struct Server {
    db: Db,
    hub: Arc<Hub>,
    rollouts: Rollouts,
}

impl Store {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(folder.path().join("mcplane.db"));
        Self { url, folder, clock: Arc::new(ManualClock::new(1_700_000_000_000)), _database: None }
    }

    pub(crate) fn postgres() -> Self {
        let database = Database::create();
        let url = StoreUrl::Postgres(database.url().to_owned());
        Self { url, _database: Some(database), ..Self::sqlite() }
    }

    async fn server(&self, name: &str) -> Server {
        let db = Db::open(&self.url, self.clock.clone()).await.unwrap();
        self.beside(db, name)
    }

    fn beside(&self, db: Db, name: &str) -> Server {
        let folder = self.folder.path().join(name);
        let hub =
            Arc::new(Hub::open(&folder, RecorderConfig::default(), Sizes::default(), self.clock.clone()).unwrap());
        let rollouts = Rollouts::new(&db, Arc::clone(&hub), name.into());
        Server { db, hub, rollouts }
    }
}

fn spec() -> RolloutSpec {
    let stage = |weight| StageSpec { weight, duration: "1m".into(), ..StageSpec::default() };
    let (service, version) = ("fraud".to_owned(), "fraud-predictor-00002".to_owned());
    RolloutSpec { service, version, stages: vec![stage(50), stage(100)], ..RolloutSpec::default() }
}

fn subject(name: &str) -> Subject {
    Subject { uid: format!("uid-{name}"), namespace: "lab".into(), name: name.into() }
}

fn grant(verb: &'static str, name: &str) -> Grant {
    let context = Arc::new(Context::system("test"));
    authz::authorize(&AllowAll, &context, scope::attributes(verb, scope::ROLLOUTS, "lab", name)).unwrap()
}

/// Uniform draws from SplitMix64.
struct Chance(u64);

impl Chance {
    fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-53)
    }
}

impl Server {
    async fn begin(&self, name: &str) -> Going {
        let begun = self.rollouts.begin(subject(name), spec(), "fraud-predictor-00001").await.unwrap();
        // What came before the stage is not counted: this call only notes where it began.
        self.rollouts.tick(&begun, HOST, false).await.unwrap()
    }

    fn serve(&self, subset: &str, requests: u32, errors: f64, chance: &mut Chance) {
        for _ in 0..requests {
            let status = if chance.draw() < errors { 500 } else { 200 };
            let latency = Duration::from_micros((20_000.0 * (0.5 + chance.draw())) as u64);
            self.hub.answered(HOST, subset, status, latency);
        }
    }

    fn both(&self, requests: u32, errors: f64, chance: &mut Chance) {
        self.serve("fraud-predictor-00002", requests, errors, chance);
        self.serve("fraud-predictor-00001", requests, 0.01, chance);
    }
}

pub(crate) async fn a_worse_version_goes_back_and_an_equal_one_never(store: Store) {
    let server = store.server("a").await;
    for seed in 0..20 {
        for (errors, worse) in [(0.12, true), (0.01, false)] {
            let name = format!("{seed}-{worse}");
            let mut chance = Chance(seed);
            let mut going = server.begin(&name).await;
            for look in 0..6 {
                server.both(800, errors, &mut chance);
                store.clock.advance(INTERVAL_MS);
                going = server.rollouts.tick(&going, HOST, false).await.unwrap();
                if worse && look == 0 {
                    assert_eq!(going.state.phase, Phase::RolledBack, "seed {seed}: {}", going.state.message);
                }
                if going.state.is_over() {
                    break;
                }
            }
            assert_eq!(going.state.phase == Phase::RolledBack, worse, "seed {seed}: {}", going.state.message);
        }
    }
    let told = server.rollouts.decisions(&grant("list", "3-true"), "3-true", None, 10).await.unwrap();
    assert_eq!(told.iter().map(|one| one.action.as_str()).collect::<Vec<_>>(), ["RolledBack", "Started"]);
    assert!(told[0].message.contains("errors 0.1") && told[0].judgement.is_some(), "{}", told[0].message);
    let log = server.db.audit(&audit::Query { limit: 1_000, ..audit::Query::default() }).await.unwrap();
    let back = log.iter().find(|record| record.entry.verb == "rollback" && record.entry.name == "3-true").unwrap();
    assert!(back.entry.detail.contains("against 0.0"), "{}", back.entry.detail);
}

pub(crate) async fn what_was_measured_survives_a_crash(store: Store) {
    let first = store.server("a").await;
    let going = first.begin("r").await;
    let mut chance = Chance(1);
    first.both(500, 0.01, &mut chance);
    store.clock.advance(1_000);
    let going = first.rollouts.tick(&going, HOST, false).await.unwrap();
    assert_eq!(going.judgement, None, "it is not time yet");
    first.both(100, 0.01, &mut chance);
    // It dies: what came in the last second is lost, and nothing else.
    let second = store.beside(first.db.clone(), "a");
    drop((first.rollouts, first.hub));
    store.clock.advance(INTERVAL_MS);
    let going = second.rollouts.tick(&going, HOST, false).await.unwrap();
    let judgement = going.judgement.unwrap();
    assert_eq!((going.state.phase, judgement.metrics[0].values), (Phase::Progressing, 500));
}

pub(crate) async fn without_traffic_nothing_is_decided(store: Store) {
    let server = store.server("a").await;
    let mut going = server.begin("r").await;
    for _ in 0..5 {
        store.clock.advance(INTERVAL_MS);
        going = server.rollouts.tick(&going, HOST, false).await.unwrap();
    }
    assert_eq!((going.state.phase, going.state.stage), (Phase::Progressing, 0));
    assert_eq!(going.state.verdict, Some(Verdict::TooLittleTraffic));
}

pub(crate) async fn of_two_servers_one_decides_on_what_both_saw(store: Store) {
    let one = store.server("a").await;
    let other = store.beside(one.db.clone(), "b");
    let begun = one.begin("r").await;
    other.rollouts.tick(&begun, HOST, false).await.unwrap();
    let mut chance = Chance(5);
    one.both(300, 0.01, &mut chance);
    other.both(200, 0.01, &mut chance);
    store.clock.advance(1_000);
    other.rollouts.tick(&begun, HOST, false).await.unwrap();
    store.clock.advance(INTERVAL_MS);
    let (seen, late) = (one.rollouts.tick(&begun, HOST, false), other.rollouts.tick(&begun, HOST, false));
    let (seen, late) = (seen.await.unwrap(), late.await.unwrap());
    assert_eq!((seen.step, late.step), (begun.step + 1, begun.step + 1), "one look in an interval");
    assert_eq!(seen.judgement.unwrap().metrics[0].values, 500);
}

pub(crate) async fn people_have_the_last_word(store: Store) {
    let server = store.server("a").await;
    server.begin("r").await;
    let say = async |verb, command| server.rollouts.command(&grant(verb, "r"), "r", command).await;
    let promoted = say("promote", Command::Promote).await.unwrap();
    assert_eq!((promoted.state.stage, promoted.state.phase), (1, Phase::Progressing));
    assert_eq!(say("abort", Command::Abort).await.unwrap().state.phase, Phase::RolledBack);
    let refused = say("pause", Command::Pause).await.unwrap_err();
    assert_eq!((refused.http_status(), refused.to_string().contains("it went back")), (409, true), "{refused}");
    assert_eq!(say("retry", Command::Retry).await.unwrap().state.stage, 0);
    let unknown = server.rollouts.command(&grant("abort", "x"), "x", Command::Abort).await.unwrap_err();
    assert_eq!(unknown.http_status(), 404);
    let told = server.rollouts.decisions(&grant("list", "r"), "r", None, 10).await.unwrap();
    let actions: Vec<&str> = told.iter().map(|one| one.action.as_str()).collect();
    assert_eq!(actions, ["Started", "Aborted", "Promoted", "Started"]);
    server.rollouts.empty("lab").await.unwrap();
    assert!(server.rollouts.decisions(&grant("list", "r"), "r", None, 10).await.unwrap().is_empty());
}
