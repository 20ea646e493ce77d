//! The families by name.

/// Declares the families in the order of the table; each is described by its row.
macro_rules! families {
    ($($name:ident)+) => {
        /// A family of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Family { $($name),+ }

        impl Family {
            /// Every family, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
        }
    };
}

families! {
    DestinationState DestinationUp DestinationProbing DestinationInfo DestinationWeight
    DestinationAdded DestinationChanged DestinationTransitions DestinationAddresses
    DestinationAddressChanges DestinationDnsStale DestinationEjected DestinationRetryAfter
    DestinationDamped DestinationSlowStart
    SetAllDown SetDestinations SetConfigured SetEnabled SetAvailable SetObjective SetInfo
    SetDetection
    Probes ProbeRtt ProbeLastRtt ProbeEwma ProbeLastCode ProbeLast ProbeLastSuccess ProbeFailures
    ProbeSuccesses ProbeInterval ProbeThreshold ProbesInFlight ProbeLag ProbeUnmatched
    Selections SelectionFailures SelectionDuration Failovers FailoverEdges FailoversExhausted
    Attempts Rejections EvidenceDropped
    Requests Transactions InFlight DestinationRequests DestinationResponses DestinationCodes
    DestinationInFlight FirstResponse TransactionTime Timeouts DestinationRetransmissions
    ClientRetransmissions LingerBytes LingerDropped
    SetupDelay DisconnectDelay SessionDuration RegistrationDelay DestinationCalls
    DestinationCallsLimit Dialogs DialogsExpired
    Messages MessageBytes ParseErrors Dropped ForwardDelay Connections Connects TransportErrors
    UdpDrops UdpQueue QueueDepth QueueCapacity Handovers Resolutions ResolutionTime
    ReloadSuccessful ReloadTimestamp Reloads ConfigHash BuildInfo LogEvents Panics Series
    SeriesDropped ScrapeTime ProcessCpu ProcessResident ProcessVirtual ProcessFds ProcessMaxFds
    ProcessThreads ProcessStart
    RuntimeWorkers RuntimeTasks RuntimeQueue RuntimeBusy TickLag SpansExported SpansDropped Exports
    ExportSuccess Traces
}
