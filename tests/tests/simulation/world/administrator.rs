//! An administrator who cuts, holds and releases at random moments, and what may be true then.

use std::collections::BTreeSet;

use access::manager::View;
use access::{Administrator, Answer, HoldChange, LinkEpoch, Request, Ticket};
use session::hold::Scope;
use session::message::ToGateway;
use session::record::{RecordEntry, RecordState};
use session::{ApparatusId, SessionId};

use super::{Event, ManagerInput, Stage, World};

/// What he wants, and what has come of it.
#[derive(Default)]
pub(super) struct Desk {
    requests: u64,
    /// What waits for its answer.
    asked: std::collections::BTreeMap<Request, Administrator>,
    /// In force, by what he was told.
    held: BTreeSet<Scope>,
    /// In the database.
    durable: BTreeSet<Scope>,
    /// Whose record has been begun.
    begun: BTreeSet<SessionId>,
    pub(super) cuts: usize,
    pub(super) refused_by_hold: usize,
}

impl World {
    /// He does something, if there is still trouble.
    pub(super) fn administrator(&mut self) {
        if !self.troubled {
            return;
        }
        let id: ApparatusId =
            ["rs-1@abc.net", "rs-2@abc.net", "rs-3@abc.net"][self.random(3) as usize].parse().expect("an id");
        let scope = [Scope::All, Scope::Target(id.clone()), Scope::Source(id)][self.random(3) as usize].clone();
        let reason = "works".to_owned();
        let live = self.manager.sessions().next().map(|view| view.plan.session);
        let any = live.unwrap_or(SessionId(self.random(40)));
        let held = self.desk.held.iter().next().cloned();
        let wish = match (self.random(8), held) {
            (0, _) => Administrator::CutAll { scope, hold: false, reason },
            (1, _) => Administrator::CutAll { scope, hold: true, reason },
            (2..=5, Some(held)) => Administrator::Release(held),
            (2, None) => Administrator::Release(scope),
            _ => Administrator::Cut { session: any, reason },
        };
        self.desk.requests += 1;
        let request = Request(self.desk.requests);
        self.desk.asked.insert(request, wish.clone());
        let release_is_on_its_way = |scope: &Scope| {
            self.desk.asked.values().any(|other| matches!(other, Administrator::Release(of) if of == scope))
        };
        // From here on nothing of it may begin, whenever it is durable.
        if let Administrator::CutAll { scope, hold: true, .. } = &wish
            && !release_is_on_its_way(scope)
        {
            self.desk.held.insert(scope.clone());
        }
        self.tell_manager(ManagerInput::Administrator(request, "root".into(), wish));
        self.after(1_000..60_000, Event::Administrator);
    }

    pub(super) fn hold_commits(&mut self, ticket: Ticket, change: HoldChange) {
        if self.store_fails {
            return self.tell_manager(ManagerInput::RecordFailed(ticket, "the disk is full".into()));
        }
        match change {
            HoldChange::Held(hold) => drop(self.desk.durable.insert(hold.scope)),
            HoldChange::Released { scope, .. } => drop(self.desk.durable.remove(&scope)),
        }
        self.tell_manager(ManagerInput::Recorded(ticket));
    }

    pub(super) fn answered(&mut self, request: Request, answer: Answer) {
        let wish = self.desk.asked.remove(&request).expect("one answer to one request");
        match (wish, answer) {
            (Administrator::Cut { .. } | Administrator::CutAll { .. }, Answer::Cut { sessions, hold }) => {
                for View { plan, .. } in sessions {
                    self.desk.cuts += 1;
                    for id in [&plan.source, &plan.target] {
                        if let Some(epoch) = self.sites[id].link {
                            self.after(500..501, Event::MustBeCut(plan.session, id.clone(), epoch));
                        }
                    }
                }
                let scope = hold.map(|hold| hold.scope);
                assert!(scope.is_none_or(|scope| self.desk.durable.contains(&scope)), "answered before it is durable");
            }
            (Administrator::Release(scope), Answer::Released(hold)) => {
                assert_eq!(scope, hold.scope);
                self.desk.held.remove(&scope);
            }
            (_, Answer::Refused(_)) => {}
            (wish, answer) => panic!("{answer:?} to {wish:?}"),
        }
    }

    /// An end that had its link all the time has carried out the instruction.
    pub(super) fn must_be_cut(&self, session: SessionId, id: &ApparatusId, epoch: LinkEpoch) {
        let site = &self.sites[id];
        let mut views = site.brain.sessions();
        let alive = views.find(|view| view.plan.session == session && view.stage != Stage::Stopping);
        assert!(site.link != Some(epoch) || alive.is_none(), "{id} still holds a session that was cut: {alive:?}");
    }

    /// Nothing begins under a hold: no record says so, and nobody is told so.
    pub(super) fn nothing_begins_under_a_hold(&mut self, rows: &[RecordEntry], message: Option<&ToGateway>) {
        let planned = match message {
            Some(ToGateway::AccessGranted { plan, .. } | ToGateway::PermissionRequest { plan, .. }) => {
                Some((&plan.source, &plan.target))
            }
            _ => None,
        };
        // A row that could not be written comes again, and may meet a hold of later.
        let mut begins =
            |row: &&RecordEntry| row.state == RecordState::StandbyForAccess && self.desk.begun.insert(row.session);
        let recorded: Vec<&RecordEntry> = rows.iter().filter(|row| begins(row)).collect();
        for (source, target) in recorded.iter().map(|row| (&row.source, &row.destination)).chain(planned) {
            let under = self.desk.held.iter().find(|scope| scope.covers(source, target));
            assert_eq!(under, None, "a session from {source} to {target} begins");
        }
        let by_hold =
            rows.iter().filter(|row| row.state == RecordState::Denied && row.detail.contains(" are held by "));
        self.desk.refused_by_hold += by_hold.count();
    }

    /// Manager, database and administrator agree on what is held.
    pub(super) fn check_holds(&self) {
        let in_force: BTreeSet<Scope> = self.manager.holds().iter().map(|hold| hold.scope.clone()).collect();
        assert_eq!(in_force, self.desk.held);
        assert!(self.desk.durable.is_subset(&in_force), "a restart would hold what is released");
    }

    /// How many sessions administrators cut, and how many requests their holds refused.
    pub(crate) fn interventions(&self) -> [usize; 2] {
        [self.desk.cuts, self.desk.refused_by_hold]
    }

    /// How many of the administrator's requests wait for an answer.
    pub(super) fn administrator_waits(&self) -> usize {
        self.desk.asked.len()
    }
}
