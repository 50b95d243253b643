//! What `save` and the commit store of a request's changes, and what they don't.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn saves_that_overlap_count_each_update_once() {
    let service = service(MemoryStore::new());
    let guard = service.begin(None);
    let session = extract(&guard).await;
    session.authenticate("ada").await.unwrap();
    let add = |session: &CookieSession| session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
    for _ in 0..200 {
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let session = session.clone();
                tokio::spawn(async move {
                    add(&session);
                    session.save().await
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    }
    assert_eq!(stored(&service).await, json!({"n": 800}));
    assert_eq!(session.get::<u64>("n").unwrap(), Some(800));
}

#[tokio::test]
async fn a_commit_waits_behind_those_that_queue_for_its_session_and_a_save_does_not() {
    let service = service(MemoryStore::new());
    let guard = service.begin(None);
    let session = extract(&guard).await;
    session.authenticate("ada").await.unwrap();
    let id = session.lock().state.active().unwrap().record.id;
    let place = service.0.write_queues.join(id).await;
    session.set("saved", &1).unwrap();
    assert!(poll_once(&mut Box::pin(session.save())).is_ready());
    session.set("committed", &1).unwrap();
    let mut commit = guard.commit(200);
    assert!(poll_once(&mut commit).is_pending());
    assert_eq!(stored(&service).await, json!({"saved": 1}));
    drop(place);
    drop(commit.await);
    assert_eq!(stored(&service).await, json!({"saved": 1, "committed": 1}));
}

#[tokio::test]
async fn what_is_set_after_the_response_and_never_saved_is_reported_once() {
    let events = Arc::new(std::sync::Mutex::new(Vec::new()));
    let observed = Arc::clone(&events);
    let service = service(MemoryStore::new()).with_observer(move |event| {
        observed.lock().unwrap().push(format!("{event:?}"));
    });
    for saves in [true, false] {
        let guard = service.begin(None);
        let session = extract(&guard).await;
        session.authenticate("ada").await.unwrap();
        session.set("before", &1).unwrap();
        drop(guard.commit(200).await);
        session.set("after", &2).unwrap();
        if saves {
            session.save().await.unwrap();
        }
        let other = session.clone();
        drop(guard);
        drop(session);
        assert!(events.lock().unwrap().is_empty(), "another handle may still save it");
        drop(other);
        let seen = std::mem::take(&mut *events.lock().unwrap());
        assert_eq!(
            seen.iter().filter(|event| event.contains("ChangesNotSaved")).count(),
            usize::from(!saves),
            "{seen:?}"
        );
    }
}

#[tokio::test]
async fn what_loses_every_race_is_an_error_of_its_own_and_can_be_saved_later() {
    let (store, service) = silent();
    let events = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let service = service.with_observer(move |event| seen.lock().unwrap().push(format!("{event:?}")));
    let cookie = signed_in(&service).await;
    let guard = service.begin(None);
    let session = extract_with(&guard, &cookie).await;
    session.set("a", &1).unwrap();
    store.contended.store(true, Ordering::SeqCst);
    let error = session.save().await.unwrap_err();
    assert!(matches!(error, Error::Contention) && error.status() == 503, "{error:?}");
    let told = std::mem::take(&mut *events.lock().unwrap());
    assert!(told.len() == 1 && told[0].starts_with("Contention"), "{told:?}");
    store.contended.store(false, Ordering::SeqCst);
    session.save().await.unwrap();
    assert_eq!(stored(&service).await["a"], 1);
}

#[tokio::test]
async fn what_no_commit_told_of_is_not_stored_by_a_later_save() {
    let end: [fn(ScopeGuard); 3] = [
        drop,
        |guard| drop(guard.commit(200)),
        |guard| {
            let mut commit = guard.commit(500);
            assert!(poll_once(&mut commit).is_ready());
        },
    ];
    for end in end {
        let service = service(MemoryStore::new());
        let guard = service.begin(None);
        let session = extract(&guard).await;
        session.authenticate("ada").await.unwrap();
        session.set("half", &1).unwrap();
        end(guard);
        session.set("whole", &2).unwrap();
        session.save().await.unwrap();
        assert_eq!(stored(&service).await, json!({"whole": 2}), "what a task sets afterwards is its own to save");
    }
    let service = service(MemoryStore::new());
    let guard = service.begin(None);
    let session = extract(&guard).await;
    session.authenticate("ada").await.unwrap();
    drop(guard.commit(200).await);
    session.set("streamed", &1).unwrap();
    drop(guard);
    session.save().await.unwrap();
    assert_eq!(stored(&service).await, json!({"streamed": 1}), "after a commit the layer's end discards nothing");
}
