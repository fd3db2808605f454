//! A whole estate in one thread and in virtual time: the manager's brain, the gateways' brains, and
//! between them a world that delays, loses links, fails to write records, changes the policy, and has an
//! administrator who cuts and holds.
//!
//! Each seed is one history. `SALLYPORT_SEEDS=N` runs more of them, `SALLYPORT_SEED=N` one alone.

mod facts;
mod world;

use session::Monotonic;
use session::record::RecordState;

use world::World;

fn histories() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("SALLYPORT_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SALLYPORT_SEEDS").unwrap_or(400)).collect(),
    }
}

/// Runs the history of `seed`: half an hour of trouble, then peace until every lease is over.
fn history(seed: u64) -> World {
    let mut world = World::new(seed);
    world.run_for(std::time::Duration::from_secs(1_800));
    world.make_peace();
    world.run_for(std::time::Duration::from_secs(5_400));
    world
}

#[test]
fn nothing_is_left_and_every_record_is_honest() {
    let mut ended = std::collections::BTreeMap::<RecordState, usize>::new();
    let (mut narrowings, mut ended_by_facts) = (0, 0);
    let mut interventions = [0; 2];
    for seed in histories() {
        let world = history(seed);
        assert_eq!(world.open_sessions(), Vec::<String>::new(), "seed {seed}: sessions are left");
        assert_eq!(world.unanswered(), 0, "seed {seed}: somebody waits for an answer");
        narrowings += world.narrowings();
        interventions = std::array::from_fn(|n| interventions[n] + world.interventions()[n]);
        ended_by_facts += world.ended_by_facts();
        for (session, mut states) in world.records() {
            let last = *states.last().expect("a record has a state");
            // It may be narrowed as often as the policy likes, from the grant to the end.
            let narrowed = |state: &RecordState| *state == RecordState::SessionIsNarrowed;
            assert!(
                !narrowed(&states[0]) && !narrowed(&last),
                "seed {seed}: session {session} is recorded as {states:?}"
            );
            states.retain(|state| !narrowed(state));
            let legal = match states[..] {
                [RecordState::Denied | RecordState::TargetNotReachable] => true,
                [RecordState::StandbyForAccess, RecordState::SessionIsEstablished, ref rest @ ..] => matches!(
                    rest,
                    [RecordState::SessionIsDisconnected | RecordState::Lost]
                        | [
                            RecordState::SessionDisconnectionIsInstructed,
                            RecordState::SessionIsDisconnected | RecordState::Lost
                        ]
                ),
                [RecordState::StandbyForAccess, end] => {
                    matches!(end, RecordState::NotEstablished | RecordState::TargetNotReachable | RecordState::Denied)
                }
                _ => false,
            };
            assert!(legal, "seed {seed}: session {session} is recorded as {states:?}");
            *ended.entry(last).or_default() += 1;
        }
    }
    // A simulation in which some end never comes about tests less than it seems to.
    if std::env::var_os("SALLYPORT_SEED").is_none() {
        for state in RecordState::ALL.into_iter().filter(|state| state.is_final()) {
            assert!(ended.contains_key(&state), "no history ended with `{state}`: {ended:?}");
        }
        assert!(narrowings > 0, "no session was narrowed");
        assert!(interventions.iter().all(|count| *count > 0), "cuts, refusals by a hold: {interventions:?}");
        assert!(ended_by_facts > 0, "no session was ended by a fact");
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    let (one, other) = (history(7), history(7));
    assert_eq!(one.records(), other.records());
    assert_ne!(one.now(), Monotonic::default());
}
