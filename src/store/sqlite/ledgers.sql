-- Subscriptions and their ledgers. ?1 is the tenant, ?2 the subscription unless it says otherwise. Index:
-- the primary key of the table, unless another is named.

-- name: commits_reach_disk
-- A commit is on the disk before it returns. Takes effect when it is prepared.
pragma synchronous = full;
pragma wal_autocheckpoint = 1000;

-- name: commits_wait_for_nothing
-- A commit is in the log, which the next durable one brings to the disk; another session sooner writes
-- the log back into the file.
pragma synchronous = normal;
pragma wal_autocheckpoint = 4000;

-- name: subscriptions
-- At most ?3 of them after ?2.
select subscription, revision, created_at, removed, name, settings from subscriptions
where tenant_id = ?1 and subscription > ?2 order by subscription limit ?3;

-- name: subscription
select subscription, revision, created_at, removed, name, settings from subscriptions
where tenant_id = ?1 and subscription = ?2;

-- name: subscription_named
-- The one with the name ?2. Index: subscriptions_names.
select subscription, revision, created_at, removed, name, settings from subscriptions
where tenant_id = ?1 and name = ?2 and removed = 0;

-- name: count_subscriptions
-- Index: subscriptions_names.
select count(*) from subscriptions where tenant_id = ?1 and removed = 0;

-- name: next_subscription
-- A number that none has had. Index: the primary key of subscription_numbers.
insert into subscription_numbers (tenant_id, last) values (?1, 1)
on conflict (tenant_id) do update set last = last + 1
returning last;

-- name: add_subscription
insert into subscriptions (tenant_id, subscription, revision, created_at, name, settings)
values (?1, ?2, 1, ?3, ?4, ?5);

-- name: change_subscription
update subscriptions set revision = revision + 1, settings = ?3 where tenant_id = ?1 and subscription = ?2;

-- name: hide_subscription
update subscriptions set removed = 1 where tenant_id = ?1 and subscription = ?2 and removed = 0;

-- name: remove_takes
-- The first of one that was removed; so for the next two.
delete from takes
where tenant_id = ?1 and subscription = ?2
    and number < 1000 + (select min(number) from takes where tenant_id = ?1 and subscription = ?2);

-- name: remove_settlements
delete from settlements
where tenant_id = ?1 and subscription = ?2
    and number < 1000 + (select min(number) from settlements where tenant_id = ?1 and subscription = ?2);

-- name: remove_dead_letters
delete from dead_letters
where tenant_id = ?1 and subscription = ?2 and (settlement, sequence) in (
    select settlement, sequence from dead_letters where tenant_id = ?1 and subscription = ?2
    order by settlement, sequence limit 1000);

-- name: remove_subscription
delete from subscriptions where tenant_id = ?1 and subscription = ?2 and removed = 1;

-- name: newest_take
select number, token, written_at from takes where tenant_id = ?1 and subscription = ?2
order by number desc limit 1;

-- name: newest_settlement
select number, token, written_at from settlements where tenant_id = ?1 and subscription = ?2
order by number desc limit 1;

-- name: take
-- The take with the number ?3.
select number, token, written_at from takes where tenant_id = ?1 and subscription = ?2 and number = ?3;

-- name: settlement
select number, token, written_at from settlements
where tenant_id = ?1 and subscription = ?2 and number = ?3;

-- name: add_take
insert into takes (tenant_id, subscription, number, token, written_at, body)
values (?1, ?2, ?3, ?4, ?5, ?6);

-- name: add_settlement
insert into settlements (tenant_id, subscription, number, token, written_at, body, takes)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: takes_after
-- Those after the number ?3.
select number, token, written_at, body from takes
where tenant_id = ?1 and subscription = ?2 and number > ?3 order by number;

-- name: settlements_after
select number, token, written_at, body from settlements
where tenant_id = ?1 and subscription = ?2 and number > ?3 order by number;

-- name: newest_checkpoint
-- Its number and the last take that it includes. Index: settlements_checkpoints.
select number, takes from settlements
where tenant_id = ?1 and subscription = ?2 and takes is not null order by number desc limit 1;

-- name: trim_takes
-- Those from the number ?3 to before ?4.
delete from takes where tenant_id = ?1 and subscription = ?2 and number >= ?3 and number < ?4;

-- name: trim_settlements
delete from settlements where tenant_id = ?1 and subscription = ?2 and number >= ?3 and number < ?4;

-- name: add_dead_letter
-- Indexes: the primary key and the unique one of dead_letters.
insert or replace into dead_letters
    (tenant_id, subscription, settlement, sequence, attempts, first_at, dead_at, reason)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8);

-- name: revive
-- Index: the unique one of dead_letters.
delete from dead_letters where tenant_id = ?1 and subscription = ?2 and sequence = ?3;

-- name: dead_letter_settlement
-- By which the event with the sequence ?3 has come there. Index: the unique one of dead_letters.
select settlement from dead_letters where tenant_id = ?1 and subscription = ?2 and sequence = ?3;

-- name: dead_letters
-- Those that came before the place ?3, ?4, backwards, with their events as far as they are there. Indexes:
-- the primary keys of dead_letters and events.
select e.position, e.event_id, e.created_at, e.kind, e.payload, e.ordering_key, e.deliver_at,
    coalesce(a.acknowledged_at, 0), d.sequence, d.settlement, d.attempts, d.first_at, d.dead_at, d.reason
from dead_letters d
left join events e on e.position = (?1 << 40) + d.sequence and e.tenant_id = ?1
left join acknowledged a on a.position = e.position
where d.tenant_id = ?1 and d.subscription = ?2 and (d.settlement, d.sequence) < (?3, ?4)
order by d.settlement desc, d.sequence desc;
