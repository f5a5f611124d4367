//! Posted events, into the topics that the pipeline reads.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use freshet_kafka::{
    ConnectError, Connection, DeliveryError, Payloads, Publisher, SendError, Ticket, Topics, key,
};
use freshet_schema::Event;

use crate::event_log::{EventLogError, EventSink, Receipt};

/// Appends events to topics. A receipt resolves when all in-sync replicas have what it is for.
#[derive(Debug)]
pub struct KafkaEventLog {
    /// `None` once closed.
    publisher: RwLock<Option<Publisher>>,
    topics: Topics,
    payloads: Payloads,
    patience: Duration,
}

impl KafkaEventLog {
    /// Makes a log that connects in the background. What is not acknowledged within `patience` is given up, and may or may
    /// not be in the topic; the caller sends it again.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn open(
        connection: &Connection,
        topics: Topics,
        payloads: Payloads,
        patience: Duration,
    ) -> Result<Self, ConnectError> {
        let publisher = RwLock::new(Some(Publisher::new("posted events", connection, Some(patience))?));
        Ok(Self { publisher, topics, payloads, patience })
    }

    fn send(
        &self,
        events: &[Event],
        done: impl FnOnce(Result<(), DeliveryError>) + Send + 'static,
    ) -> Result<(), EventLogError> {
        // Everything is encoded before anything is sent: a request is taken whole or not at all.
        let mut records = Vec::with_capacity(events.len());
        for event in events {
            let stream = event.kind().folder();
            let topic = self.topics.of(event.kind()).ok_or(EventLogError::NoTopic { stream })?;
            let value = self.payloads.of(event.kind()).encode(event).map_err(|error| {
                EventLogError::Encode { event_id: event.event_id().0, detail: error.to_string() }
            })?;
            records.push((topic, key(event), value));
        }
        if records.is_empty() {
            done(Ok(()));
            return Ok(());
        }
        let publisher = self.publisher.read().unwrap_or_else(PoisonError::into_inner);
        let publisher = publisher.as_ref().ok_or(EventLogError::Closed)?;
        let ticket = Ticket::new(records.len(), done);
        for (at, (topic, key, value)) in records.iter().enumerate() {
            match publisher.send(topic, key, value, &[], &ticket) {
                Ok(()) => {}
                Err(SendError::Full) if at == 0 => return Err(EventLogError::Busy),
                // Those that were sent may arrive all the same: the caller is told to send all again.
                Err(error) => {
                    let error = DeliveryError { topic: (*topic).to_owned(), what: error.to_string() };
                    ticket.settle(records.len() - at, Err(error));
                    break;
                }
            }
        }
        Ok(())
    }
}

impl EventSink for KafkaEventLog {
    fn append(&self, events: &[Event]) -> Result<Receipt, EventLogError> {
        let (sender, receipt) = Receipt::pending();
        self.send(events, move |result| {
            let answer = result.map_err(|error| EventLogError::Brokers { detail: error.to_string() });
            // Whoever asked may have gone.
            drop(sender.send(answer));
        })?;
        Ok(receipt)
    }

    fn offer(&self, events: &[Event]) -> Result<(), EventLogError> {
        self.send(events, |result| {
            if let Err(error) = result {
                tracing::debug!(%error, "a page that was handed out is missing in the served topic");
            }
        })
    }

    fn close(&self) {
        let publisher = self.publisher.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(publisher) = publisher
            && !publisher.flush(self.patience)
        {
            tracing::warn!(
                records = publisher.in_flight(),
                "the brokers did not acknowledge the last records"
            );
        }
    }
}

impl Drop for KafkaEventLog {
    fn drop(&mut self) {
        self.close();
    }
}
