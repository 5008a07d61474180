//! COM_CHANGE_USER: what can be read is written back as the same request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mysql_wire::Capabilities;
use mysql_wire::change_user::ChangeUser;

fuzz_target!(|body: &[u8]| {
    let both = Capabilities::CLIENT_PLUGIN_AUTH | Capabilities::CLIENT_CONNECT_ATTRS;
    for negotiated in [Capabilities::empty(), Capabilities::CLIENT_CONNECT_ATTRS, both] {
        let Ok(request) = ChangeUser::parse(body, negotiated) else { continue };
        // Short forms are written out; a proof that long no plugin makes.
        let whole = request.collation.is_some() && request.auth_plugin.is_some();
        if negotiated == both && whole && request.auth_response.len() <= 250 {
            assert_eq!(ChangeUser::parse(&request.encode(), both), Ok(request));
        }
    }
});
