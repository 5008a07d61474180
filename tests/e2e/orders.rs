//! Orders to a session (KILL, a user who is disabled, the end of its time) reach it whatever its
//! client does: reads slowly, reads nothing, sends ahead.

use std::thread;

use readgate_tests::raw::RawClient;
use readgate_tests::stage::Stage;

/// Some four thousand million bytes.
const ENDLESS: &str = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
                       SELECT REPEAT('endless', 700) FROM n a, n b";
/// What may be on its way when a session is killed: the buffers of both sockets.
const ON_ITS_WAY: usize = 64 << 20;
/// A command that nobody knows: answered by readgate itself.
const UNKNOWN_COMMAND: &[u8] = &[1, 0, 0, 0, 0x1f];

fn kill(stage: &Stage, victim: &RawClient) -> u32 {
    let id = victim.greeting.connection_id;
    stage.alice().query(format!("KILL CONNECTION {id}")).expect_ok();
    id
}

fn is_recorded_as_killed(stage: &Stage, id: u32) {
    stage
        .readgate
        .record("disconnect", |record| record["session"] == id && record["reason"] == "killed");
}

on_both! {
    fn a_killed_session_gets_no_more_of_its_result_however_slowly_it_reads(stage) {
        let mut victim = stage.alice();
        let mut other = stage.alice();
        victim.send_command(3, ENDLESS.as_bytes()).expect("sent");
        let mut piece = vec![0; 64 << 10];
        victim.receive_raw(&mut piece).expect("it begins");
        let id = kill(stage, &victim);
        let mut bytes = 0;
        while victim.receive_raw(&mut piece).is_ok() {
            bytes += piece.len();
            assert!(bytes < ON_ITS_WAY, "a killed session still gets data");
            // What the replica sends is always there before it is asked for.
            assert_eq!(other.query("SELECT 1").value(), "1");
        }
        is_recorded_as_killed(stage, id);
        let intent = stage.readgate.record("intent", |record| record["text"] == ENDLESS && record["session"] == id);
        let outcome = stage.readgate.record("outcome", |record| record["intent"] == intent["seq"]);
        assert_eq!(outcome["end"], "killed");
    }

    fn a_killed_session_ends_though_its_client_reads_none_of_its_result(stage) {
        let mut victim = stage.alice();
        victim.send_command(3, ENDLESS.as_bytes()).expect("sent");
        let id = kill(stage, &victim);
        is_recorded_as_killed(stage, id);
    }

    fn a_killed_session_ends_though_its_client_sends_ahead_and_reads_no_answer(stage) {
        let mut victim = stage.alice();
        let id = victim.greeting.connection_id;
        let flood = thread::spawn(move || {
            let _ = victim.send_raw(&UNKNOWN_COMMAND.repeat(400_000));
            victim
        });
        stage.alice().query(format!("KILL CONNECTION {id}")).expect_ok();
        is_recorded_as_killed(stage, id);
        drop(flood.join());
    }
}
