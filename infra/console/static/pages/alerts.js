export const title = "Alerts";

export function mount(root, ctx) {
}
