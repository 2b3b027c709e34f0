//! The clients of the service, and the measurement of every operation with them.

use tokio::task::JoinSet;

use crate::Effort;
use crate::http::Connection;
use crate::load::{Sample, Visitor, load};
use crate::operations::{
    Introspect, Login, PASSWORD, People, Refresh, Register, Verify, person, sign_in, sign_up,
};
use crate::report::{Report, Store};
use crate::service::{Service, Setup};

/// The clients, by operation.
pub(crate) struct Clients {
    pub(crate) verify: Vec<Verify>,
    pub(crate) introspect: Vec<Introspect>,
    pub(crate) refresh: Vec<Refresh>,
    pub(crate) login: Vec<Login>,
    pub(crate) register: Vec<Register>,
    /// `Bearer` and the token of a service that may ask about tokens and read the log.
    pub(crate) service: String,
}

/// The accounts that the clients use.
pub(crate) enum Accounts {
    /// Newly registered accounts.
    New,
    /// The accounts of this many people, which the store already has.
    Of(u64),
}

impl Clients {
    /// Signs in `count` clients of each operation.
    pub(crate) async fn of(
        setup: &Setup,
        service: &Service,
        count: usize,
        accounts: &Accounts,
    ) -> anyhow::Result<Self> {
        // An earlier measurement may have used the filled store.
        let run = std::process::id();
        let server = format!("resource-server-{run}");
        let create = ["user", "create", "--username", &server, "--role", "service"];
        setup.run_with(&create, &format!("{PASSWORD}\n")).await?;
        let to = || Connection::to(&service.address);
        let mut connection = to();
        let caller = sign_in(&mut connection, &server).await?;
        let people = match *accounts {
            Accounts::New => count as u64,
            Accounts::Of(people) => people,
        };
        let mut clients = Self {
            verify: vec![],
            introspect: vec![],
            refresh: vec![],
            login: vec![],
            register: vec![],
            service: format!("Bearer {caller}"),
        };
        for number in 0..count as u64 {
            let name = match accounts {
                Accounts::New => person(number),
                Accounts::Of(_) => format!("client-{run}-{number}"),
            };
            let (access, refresh) = sign_up(&mut connection, &name).await?;
            clients.introspect.push(Introspect {
                connection: to(),
                authorization: clients.service.clone(),
                form: format!("token={access}"),
            });
            clients.verify.push(Verify {
                connection: to(),
                path: "/users/verify-token",
                token: access,
            });
            clients.refresh.push(Refresh {
                connection: to(),
                authorization: format!("Bearer {refresh}"),
            });
            clients.login.push(Login {
                connection: to(),
                people: People::new(people, number),
            });
            clients.register.push(Register {
                connection: to(),
                name: format!("new-{run}-{number}"),
                number: 0,
            });
        }
        Ok(clients)
    }
}

/// The names of the samples of each operation.
pub(crate) struct Names {
    pub(crate) verify: &'static str,
    pub(crate) introspect: &'static str,
    pub(crate) refresh: &'static str,
    pub(crate) login: &'static str,
    pub(crate) register: &'static str,
}

impl Names {
    /// The names on an initially empty store.
    pub(crate) const PLAIN: Self = Self {
        verify: "verify",
        introspect: "introspect",
        refresh: "refresh",
        login: "login",
        register: "register",
    };
}

/// Collects the samples of a store.
pub(crate) struct Measuring<'a> {
    pub(crate) service: &'a Service,
    pub(crate) store: Store,
    pub(crate) effort: &'a Effort,
    pub(crate) report: &'a mut Report,
}

impl Measuring<'_> {
    /// Runs a load and measures the service's processor time for it.
    pub(crate) async fn measure<V: Visitor>(
        &mut self,
        name: &'static str,
        visitors: &mut Vec<V>,
    ) -> anyhow::Result<()> {
        if !self.effort.wants(name) {
            return Ok(());
        }
        let sample = self.watch(load(visitors, self.effort.a_while())).await?;
        self.report.sample(name, self.store, sample);
        Ok(())
    }

    /// The sample of a load, with the service's processor time and memory.
    pub(crate) async fn watch(
        &self,
        load: impl Future<Output = anyhow::Result<Sample>>,
    ) -> anyhow::Result<Sample> {
        let service = self.service;
        let before = service.processor_time()?;
        service.reset_peak()?;
        let third = self.effort.a_while() / 3;
        let readings = async {
            let mut memory = Vec::new();
            for _ in 0..3 {
                tokio::time::sleep(third).await;
                memory.push(service.memory()?);
            }
            anyhow::Ok(memory)
        };
        let (sample, memory) = tokio::join!(load, readings);
        Ok(Sample {
            processor: service.processor_time()? - before,
            peak: service.peak()?,
            memory: memory?,
            ..sample?
        })
    }

    /// Measures every operation, one after the other.
    pub(crate) async fn measure_all(
        &mut self,
        names: &Names,
        clients: &mut Clients,
    ) -> anyhow::Result<()> {
        self.measure(names.verify, &mut clients.verify).await?;
        self.measure(names.introspect, &mut clients.introspect)
            .await?;
        self.measure(names.refresh, &mut clients.refresh).await?;
        self.measure(names.login, &mut clients.login).await?;
        self.measure(names.register, &mut clients.register).await
    }
}

/// Lets each visitor perform its operation this many times.
pub(crate) async fn repeat<V: Visitor>(visitors: &mut Vec<V>, times: u32) -> anyhow::Result<()> {
    let mut running = JoinSet::new();
    for mut visitor in visitors.drain(..) {
        running.spawn(async move {
            for _ in 0..times {
                visitor.visit().await?;
            }
            anyhow::Ok(visitor)
        });
    }
    while let Some(finished) = running.join_next().await {
        visitors.push(finished??);
    }
    Ok(())
}
